"""The records that travel through a study: what was asked, what the runs gave, what may be said of them.

They are plain and frozen, so that a number in the document can be followed to the run it came from. Every
record turns into JSON by `dataclasses.asdict`; `facts.json` is `StudyFacts` in that form.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Word = Literal["best", "as_good", "worse", "undecided", "not_comparable"]
"""What may be said of an arm: best; as good as the best within the meaningful difference; worse; not decided;
not comparable."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Arm:
    """One setting that is tried: a name and what it changes in the recipe."""

    id: str
    """Unique in its study, and safe as the name of a folder: "margin-0.3"."""
    name: str
    """As figures and tables say it: "0.3", or "circle" for a named arm."""
    changes: dict[str, Any]
    """Dotted recipe keys and their values: {"loss.margin": 0.3}. Empty for the recipe as it is."""


@dataclass(frozen=True)
class Task:
    """One training and its evaluation: the unit that engines run. Its folder is `runs/{arm}/seed-{seed}`."""

    arm: str
    """`Arm.id`, or "baselines" for the plain spaces that stand beside the arms."""
    seed: int


@dataclass(frozen=True)
class Outcome:
    """How a task ended. A failed run is a result."""

    task: Task
    state: Literal["done", "failed"]
    cause: str = ""
    """Of a failure, in one sentence that a person can read."""
    seconds: float = 0.0
    """Of wall clock; kept in the journal, never in the document, which must be the same on every machine."""
    again: bool = False
    """Whether the same command tries a failure again: what ended it says nothing of the arm, as a divergence
    does."""


@dataclass(frozen=True)
class Estimate:
    """A measure of one arm over all its seeds."""

    mean: float
    low: float
    """Lower end of the 95 % interval for training chance and the finite test set together."""
    high: float
    per_seed: tuple[float | None, ...]
    """One a seed, in the order of `StudyFacts.seeds`; None where the run failed."""


@dataclass(frozen=True)
class VarianceParts:
    """How the variance of a difference between two arms divides; all as standard deviations."""

    seed: float
    """From one training to another, on average over the test set."""
    group: float
    """From one test group to another, on average over trainings."""
    residual: float
    """What is left: a seed doing well on some groups, and noise."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another on the judge, corrected for all comparisons of the study."""

    one: str
    other: str
    difference: float
    """Mean of `one` minus mean of `other`, over the seeds that both have."""
    low: float
    """Lower end of the simultaneous 95 % interval: all intervals of the study hold together in 95 % of
    studies, so whatever they exclude may be claimed."""
    high: float
    p: float
    """Family-wise corrected, two-sided."""
    p_alone: float
    """As if this were the only comparison; for the record."""
    seeds: int
    groups: int
    parts: VarianceParts
    claim: Literal["better", "worse", "equal", "undecided"]
    """`better`: one is above other; `equal`: the whole interval lies within the meaningful difference."""
    more_seeds: int | None
    """About how many seeds in all would decide it with 80 % chance, on the same test groups; None where not
    even 100 would, or it is decided."""
    power: float
    """Chance that a study of this size shows a difference as large as `meaningful`."""
    by_seeds: float | None = None
    """Chance that 100 seeds in all would decide it; None where it is decided."""


@dataclass(frozen=True)
class Verdict:
    """What may be said of an arm."""

    arm: str
    word: Word
    against: str
    """The arm it was judged against: the best one, or, for the best one, the next."""
    reason: str
    """For not_comparable: why. For undecided: what it would cost. Else empty."""


@dataclass(frozen=True)
class Conclusion:
    """Everything that the statistics say of one measure."""

    measure: str
    meaningful: float
    estimates: dict[str, Estimate]
    """By arm; arms of which no run succeeded are missing. Baselines are under "baseline/mfcc_stats" ..."""
    comparisons: tuple[Comparison, ...]
    """Every pair of arms (and of an arm with a baseline), in the order of the plan."""
    verdicts: tuple[Verdict, ...]
    recommended: str | None
    """The cheapest arm among the best and those as good; None where nothing is decided."""
    recommended_because: str
    procedure: str
    """The statistical procedure in two or three sentences, for the document."""


@dataclass(frozen=True)
class Curve:
    """One training curve."""

    updates: tuple[int, ...]
    values: tuple[float | None, ...]
    smooth: tuple[float | None, ...] = ()
    """Moving average at each update, over as many updates as the plan asks for; None where the window is not
    whole. Empty where it asks for none."""


@dataclass(frozen=True)
class RunFacts:
    """One training."""

    arm: str
    seed: int
    state: Literal["done", "failed"]
    cause: str
    metrics: dict[str, float]
    """result.json's metrics; empty where the run failed."""
    curves: dict[str, Curve]
    """By name as logged ("train/loss", "train/active_fraction", "val/recall_at_1"), thinned to some hundred
    points."""
    notes: tuple[str, ...]
    """Collapse, unconverged probe, hubs: whatever training and evaluation warned of."""


@dataclass(frozen=True)
class Speed:
    """How fast one arm reached the target."""

    arm: str
    updates: tuple[int | None, ...]
    """One a seed, in the order of `StudyFacts.seeds`; None where the target was never reached."""
    seconds: tuple[float | None, ...]
    """Of wall clock, on the machine and beside the work that there was; one a seed."""
    median_updates: float | None
    """None where half of the trainings or more never got there."""
    median_seconds: float | None
    never: int
    """Trainings that did not reach the target, failed ones among them."""


@dataclass(frozen=True)
class ClassFacts:
    """One class under one arm, over all seeds."""

    name: str
    support: int
    f1: float
    """Median over seeds."""
    f1_range: Interval


@dataclass(frozen=True)
class MapFacts:
    """Where the clips of the judged split lie, in two dimensions; of the arm's first finished seed."""

    method: Literal["pca", "umap", "tsne"]
    points: tuple[Interval, ...]
    labels: tuple[str, ...]
    trustworthiness: float
    """Share of neighbours that the map keeps honest (Venna & Kaski 2001); 1 is perfect."""
    unseen: tuple[str, ...] = ()
    """Labels on the map of which training heard no clip."""
    side: Literal["train", "val", "test"] = "test"


@dataclass(frozen=True)
class ArmFacts:
    """All that is known of one arm."""

    arm: Arm
    parameters: int
    """Weights of the network."""
    runs: tuple[RunFacts, ...]
    measures: dict[str, Estimate]
    """The further measures; described, never compared."""
    classes: tuple[ClassFacts, ...]
    centroid_names: tuple[str, ...]
    centroid_distances: tuple[tuple[float, ...], ...]
    """Between the centroids of the classes; mean over seeds. Empty for tags."""
    maps: tuple[MapFacts, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class TagArea:
    """One area of one tag under one arm, mean over seeds."""

    mean: float
    interval: Interval | None
    """95 %, for training chance and the test groups together; None below two seeds, where fewer than three
    groups have the tag, or lack it, or where neither seeds nor groups make a difference."""
    gap: float | None = None
    """From the reference: this mean less its mean, over the seeds that both have; None for the reference."""
    gap_interval: Interval | None = None
    """95 %, paired."""
    p_holm: float | None = None
    """Of the gap, two-sided, corrected over all tags and arms of the area (Holm 1979)."""


@dataclass(frozen=True)
class TagFacts:
    """One tag under all arms."""

    name: str
    positives: int
    """Clips of the test set that have it."""
    few: bool
    """Fewer than 20: its own figures say little."""
    areas: dict[str, dict[str, TagArea]]
    """By area, `roc_auc` and `pr_auc`, then by arm id; an arm of which no run told the tag is missing."""


@dataclass(frozen=True)
class SourceClaim:
    """What a source document concluded, where the study repeats one."""

    study: str
    """Its id in the list of source studies: "U1"."""
    document: str
    """Who asked first, and when, in words."""
    question: str
    """In the source's words."""
    concluded: str
    """In the source's words."""
    prefers: str
    """Arm id that the source preferred; "" where it preferred none."""
    over: tuple[str, ...] = ()
    """Arm ids that it was preferred to; empty means all others. Where it preferred none: those that it held
    to be alike; empty means that its conclusion is no comparison of arms."""


@dataclass(frozen=True)
class StudyFacts:
    """Every number that stands in a study's document."""

    title: str
    question: str
    plan_hash: str
    judge: str
    meaningful: float
    seeds: tuple[int, ...]
    planned_seeds: str
    """In words: "5", or "3 to 12, until decided"."""
    varied: tuple[str, ...]
    """Dotted keys that differ between arms."""
    held: str
    """What all arms have alike, in words: "300 updates of 64 clips of 5 s each"."""
    recipe: dict[str, Any]
    """The recipe that arms change, resolved."""
    arms: tuple[ArmFacts, ...]
    conclusion: Conclusion
    baselines: dict[str, dict[str, float]]
    """By name (chance, mfcc_stats, logmel_stats, random_encoder): the judge and the further measures."""
    data: dict[str, Any]
    """Data card: name, clips, hours, classes or tags, split sizes, groups, fingerprint, problems, leaks."""
    environment: dict[str, Any]
    """Versions of what computes, device, precision."""
    deviations: tuple[str, ...]
    """What was changed after the plan was frozen, in sentences."""
    source: SourceClaim | None
    command: str
    """That makes the study again."""
    reduced: str = ""
    """In words, how the study is smaller than the question asks for; "" where it is not."""
    target: float | None = None
    """Recall@1 on val whose reaching `speeds` tells of; None where none was asked for."""
    speeds: tuple[Speed, ...] = ()
    """How fast each arm reached the target."""
    smoothing: int | None = None
    """Updates that a curve's moving average goes over; None: a fifteenth of the run."""
    search: dict[str, Any] = field(default_factory=dict)
    """For a search: method, trials, and the trials' table; empty otherwise."""
    tags: tuple[TagFacts, ...] = ()
    """Where the judge is an area over tags: each tag, told by whom the judge is of."""
