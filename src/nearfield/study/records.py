"""The records of a study: arms, tasks, outcomes, comparisons, verdicts and all numbers of the document.

The records are plain and frozen, so that each number in the document can be traced to the run that it came
from. `dataclasses.asdict` turns each record into JSON; `facts.json` is `StudyFacts` in that form.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

Word = Literal["best", "as_good", "worse", "undecided", "not_comparable"]
"""The verdict on an arm: best; as good as the best within the meaningful difference; worse; not decided;
not comparable."""

Interval = tuple[float, float]


@dataclass(frozen=True)
class Arm:
    """One setting under test: a name and the recipe keys that it changes."""

    id: str
    """Unique in its study, and safe as the name of a folder: "margin-0.3"."""
    name: str
    """The label in figures and tables: "0.3", or "circle" for a named arm."""
    changes: dict[str, Any]
    """Dotted recipe keys and their values: {"loss.margin": 0.3}. Empty for the recipe as it is."""


BASELINES = "baselines"
"""Takes the place of the arm's id in a task that scores the baselines."""


@dataclass(frozen=True)
class Task:
    """One training and its evaluation: the unit that engines run. Its folder is `runs/{arm}/seed-{seed}`."""

    arm: str
    """`Arm.id`, or "baselines" for the baselines that the arms are compared with."""
    seed: int


@dataclass(frozen=True)
class Outcome:
    """How a task ended. A failed run is a result."""

    task: Task
    state: Literal["done", "failed"]
    cause: str = ""
    """Why the task failed, in one readable sentence; "" if it is done."""
    seconds: float = 0.0
    """Wall-clock time. The journal records it; the document does not, because it must be the same on every
    machine."""
    again: bool = False
    """Whether the same command retries the failed task. True if the cause says nothing about the arm (a full
    memory, for instance); False for a divergence."""


@dataclass(frozen=True)
class Estimate:
    """A measure of one arm over all its seeds."""

    mean: float
    low: float
    """Lower end of the 95 % interval; it covers the variation between trainings and between test groups."""
    high: float
    per_seed: tuple[float | None, ...]
    """One value per seed; None where a run of it failed. With folds, a seed is a round of all folds."""


@dataclass(frozen=True)
class VarianceParts:
    """The components of the variance of a difference between two arms, as standard deviations."""

    seed: float
    """Between trainings, averaged over the test set."""
    group: float
    """Between test groups, averaged over trainings."""
    residual: float
    """The rest: interaction of seed and group, and noise."""


@dataclass(frozen=True)
class Comparison:
    """One arm against another on the judge, corrected for all comparisons of the study."""

    one: str
    other: str
    difference: float
    """Mean of `one` minus mean of `other`, over the seeds that both have."""
    low: float
    """Lower end of the simultaneous 95 % interval. In 95 % of studies, all intervals of the study contain
    their true differences, so a study may claim whatever its intervals exclude."""
    high: float
    p: float
    """Family-wise corrected, two-sided."""
    p_alone: float
    """The p value without the correction for multiple comparisons."""
    seeds: int
    groups: int
    parts: VarianceParts
    claim: Literal["better", "worse", "equal", "undecided"]
    """`better`: `one` is above `other`; `equal`: both one-sided bounds lie within the meaningful difference.
    """
    more_seeds: int | None
    """Approximate total number of seeds that would decide the comparison with a probability of 80 %, on the
    same test groups. None if it is decided, or if even 100 seeds would not be enough."""
    power: float
    """Probability that a study of this size detects a difference as large as `meaningful`."""
    by_seeds: float | None = None
    """Probability that 100 seeds in all would decide the comparison; None if it is decided."""
    folds: int = 1
    """Number of folds of the groups, each judged by trainings of its own; 1: no folds."""
    least: float | None = None
    """Lower one-sided 95 % bound of the difference, for equality; None in facts of version 0.1.0."""
    most: float | None = None
    """Upper one-sided 95 % bound of the difference."""


@dataclass(frozen=True)
class Verdict:
    """The verdict on one arm."""

    arm: str
    word: Word
    against: str
    """The arm that it was compared with: the best arm, or, for the best arm, the next."""
    reason: str
    """For not_comparable: why. For undecided: what a decision would cost. Otherwise empty."""


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of the arms' means: the slope or the curvature over an ordered factor."""

    value: float
    low: float
    """Lower end of the 95 % interval, for this contrast alone."""
    high: float
    p: float
    """Two-sided, for this contrast alone."""
    claimed: bool
    """Whether it differs from 0 at its part of the family-wise error rate."""


@dataclass(frozen=True)
class Trend:
    """How the measure changes over the values of the one factor that varies."""

    scale: Literal["linear", "log"]
    """log: slope and curvature are those over the natural logarithm of the factor."""
    values: tuple[float, ...]
    """The factor's value of each arm, in the order of the plan."""
    line: Contrast
    """The slope of the straight line through the means, per unit of the scale."""
    parabola: Contrast
    """The quadratic coefficient of the parabola through the means."""
    turn: float | None
    """The value of the factor at the parabola's extreme, if it lies within the range."""
    middle: float
    """The value of the factor at which the line passes through `mean`."""
    mean: float
    """The mean of the measure over all arms."""
    curve: tuple[tuple[float, float, float, float], ...] = ()
    """The parabola at points over the range: value of the factor, fit, and the 95 % band of its difference
    from `mean`, for each point alone."""


@dataclass(frozen=True)
class Failures:
    """The trainings of one arm that diverged."""

    arm: str
    diverged: int
    trained: int
    """Trainings that ended or diverged; those that the machine lost do not count."""
    low: float
    """Lower end of the 95 % interval of the share (Clopper & Pearson 1934)."""
    high: float
    p: float
    """Fisher's exact p value against the arm whose trainings diverge least, corrected (Holm 1979)."""


@dataclass(frozen=True)
class Conclusion:
    """All statistical results for one metric."""

    measure: str
    meaningful: float
    estimates: dict[str, Estimate]
    """By arm, without arms whose runs all failed. Baselines have keys such as "baseline/mfcc_stats"."""
    comparisons: tuple[Comparison, ...]
    """Every pair of arms (and of an arm with a baseline), in the order of the plan."""
    verdicts: tuple[Verdict, ...]
    recommended: str | None
    """The cheapest of the best arm and those as good as it; if there are none, the candidate with the highest
    mean; None if nothing is compared."""
    recommended_because: str
    procedure: str
    """Two or three sentences on the statistical procedure, for the document."""
    candidates: tuple[str, ...] = ()
    """Arms that may be the best: in 95 of 100 studies, the best arm is among them."""
    at_most_lost: float | None = None
    """How far the recommended arm may lie below the best arm, by the same comparisons with the best; None if
    nothing is compared."""
    trend: Trend | None = None
    """The trend over an ordered factor; None if there is none."""

    @property
    def among_arms(self) -> list[Comparison]:
        """The comparisons of arms with each other, without those with baselines."""
        return [each for each in self.comparisons if not each.other.startswith("baseline/")]


@dataclass(frozen=True)
class Curve:
    """One training curve."""

    updates: tuple[int, ...]
    values: tuple[float | None, ...]
    smooth: tuple[float | None, ...] = ()
    """Moving average at each update over `StudyFacts.smoothing` updates; None where the window is incomplete.
    Empty if the plan sets no smoothing."""


@dataclass(frozen=True)
class RunFacts:
    """One training."""

    arm: str
    seed: int
    state: Literal["done", "failed"]
    cause: str
    metrics: dict[str, float]
    """The metrics of result.json; empty if the run failed."""
    curves: dict[str, Curve]
    """By logged name ("train/loss", "train/active_fraction", "val/recall_at_1"), reduced to a few hundred
    points."""
    notes: tuple[str, ...]
    """Warnings of training and evaluation, such as collapse, an unconverged probe, or hubs."""
    diverged: bool = False
    """Whether the training failed by its settings (a loss that is no number), and not by the machine."""


@dataclass(frozen=True)
class Speed:
    """How fast one arm reached the target."""

    arm: str
    updates: tuple[int | None, ...]
    """One value per seed, in the order of `StudyFacts.seeds`; None if the target was never reached."""
    seconds: tuple[float | None, ...]
    """Wall-clock time, one value per seed. It depends on the machine and its load."""
    median_updates: float | None
    """None if half of the trainings or more never reached the target."""
    median_seconds: float | None
    never: int
    """Number of trainings that did not reach the target, including failed ones."""


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
    """A two-dimensional map of the clips of one split, from the arm's first finished seed."""

    method: Literal["pca", "umap", "tsne"]
    points: tuple[Interval, ...]
    labels: tuple[str, ...]
    trustworthiness: float
    """How well the map preserves neighborhoods (Venna & Kaski 2001); 1 is perfect."""
    unseen: tuple[str, ...] = ()
    """Labels on the map that have no training clip."""
    side: Literal["train", "val", "test"] = "test"


@dataclass(frozen=True)
class ArmFacts:
    """All results of one arm."""

    arm: Arm
    parameters: int
    """Number of weights of the network."""
    runs: tuple[RunFacts, ...]
    measures: dict[str, Estimate]
    """The further metrics, which the document describes but never compares."""
    classes: tuple[ClassFacts, ...]
    centroid_names: tuple[str, ...]
    centroid_distances: tuple[tuple[float, ...], ...]
    """Distances between class centroids, averaged over seeds. Empty for tags."""
    maps: tuple[MapFacts, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class TagArea:
    """ROC AUC or PR AUC of one tag for one arm, averaged over seeds."""

    mean: float
    interval: Interval | None
    """95 % interval, which covers the variation between trainings and between test groups. None with fewer
    than two seeds, if fewer than three groups have the tag or lack it, or if nothing varies."""
    gap: float | None = None
    """This mean minus the mean of the reference, over the seeds that both have; None for the reference."""
    gap_interval: Interval | None = None
    """95 % interval of the gap, paired."""
    p_holm: float | None = None
    """Two-sided p value of the gap, corrected over all tags and arms of the area (Holm 1979)."""


@dataclass(frozen=True)
class TagFacts:
    """One tag for all arms."""

    name: str
    positives: int
    """Test clips that have the tag."""
    few: bool
    """Whether fewer than 20 test clips have the tag, so that its values are uncertain."""
    areas: dict[str, dict[str, TagArea]]
    """By area (`roc_auc`, `pr_auc`), then by arm id. Arms whose runs never scored the tag are missing."""


@dataclass(frozen=True)
class SourceClaim:
    """The conclusion of the source document that the study repeats."""

    study: str
    """Its id in the list of source studies: "U1"."""
    document: str
    """Who asked the question first, and when."""
    question: str
    """In the source's words."""
    concluded: str
    """In the source's words."""
    prefers: str
    """Id of the arm that the source preferred; "" if it preferred none."""
    over: tuple[str, ...] = ()
    """Ids of the arms that it was preferred to; empty means all others. If the source preferred no arm: the
    arms that it found equal; empty means that its conclusion does not compare arms."""
    gain: float | None = None
    """How much better the source found the preferred arm, in units of the judge; None: it is not asked."""


@dataclass(frozen=True)
class StudyFacts:
    """Every number of a study's document."""

    title: str
    question: str
    plan_hash: str
    judge: str
    meaningful: float
    seeds: tuple[int, ...]
    """Seeds of the trainings of each arm; with folds, a round of `folds` trainings after the other."""
    planned_seeds: str
    """In words: "5", or "3 to 12, until decided"."""
    varied: tuple[str, ...]
    """Dotted keys that differ between arms."""
    held: str
    """The budget that all arms share, in words: "300 updates of 64 clips of 5 s each"."""
    recipe: dict[str, Any]
    """The base recipe, resolved."""
    arms: tuple[ArmFacts, ...]
    conclusion: Conclusion
    baselines: dict[str, dict[str, float]]
    """By name (chance, mfcc_stats, logmel_stats, random_encoder): the judge and the further metrics."""
    data: dict[str, Any]
    """Data card: name, clips, hours, classes or tags, split sizes, groups, fingerprint, problems, leaks."""
    environment: dict[str, Any]
    """Versions of the libraries, device, precision."""
    deviations: tuple[str, ...]
    """Changes made after the plan was frozen, one sentence each."""
    source: SourceClaim | None
    command: str
    """The command that repeats the study."""
    reduced: str = ""
    """How the study is smaller than the question requires, in words; "" if it is not."""
    target: float | None = None
    """The validation score that `speeds` refers to; None if the plan sets no target."""
    speeds: tuple[Speed, ...] = ()
    """How fast each arm reached the target."""
    smoothing: int | None = None
    """Window of a curve's moving average, in updates; None: a fifteenth of the run."""
    search: dict[str, Any] = field(default_factory=dict)
    """For a search: method, number of trials, and the table of trials; empty otherwise."""
    tags: tuple[TagFacts, ...] = ()
    """One entry per tag, if the judge is an area under a curve over tags."""
    folds: int = 1
    """Number of folds; 1: the splits of the collection."""
    failures: tuple[Failures, ...] = ()
    """One entry per arm, if a training of any arm diverged; otherwise empty."""
    looks: tuple[tuple[int, float, float, float], ...] = ()
    """The looks up to the one that concludes, each with the fields of `statistics.looks.Look`; empty in facts
    of version 0.1.0."""
