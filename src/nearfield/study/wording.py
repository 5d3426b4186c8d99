"""How arms, settings and numbers are called, the same in every sentence, table and figure of a study."""

import math

from nearfield.evaluation.result import BASELINE_NAMES
from nearfield.study.records import ArmFacts, Estimate, StudyFacts

PLAIN_SPACES = BASELINE_NAMES | {"pixels": "plain pixels", "random_encoder": "an untrained encoder"}
"""The plain spaces that stand beside the arms, in the order of tables, as a sentence needs them."""

_VAGUE = {"size", "strength", "width", "blocks", "probability", "train", "low", "high", "scale", "of"}
"""Keys that say nothing without their section: "embedding size", but "margin"."""

_SPELT = {"lr": "learning rate", "fft": "FFT size"}


_MEASURES = {
    "macro_f1": "macro F1", "weighted_f1": "weighted F1", "r_precision": "R-precision", "map_at_r": "MAP@R",
    "tag_map": "tag MAP", "tag_ndcg": "tag nDCG", "roc_auc": "ROC-AUC", "pr_auc": "PR-AUC", "nmi": "NMI",
    "ami": "AMI",
}  # fmt: skip
_WHERE = {
    "probe": "of the probe", "knn": "of nearest neighbours", "dense_probe": "of the dense probe",
    "retrieval": "within test", "retrieval_from_train": "from train", "tagging": "of the probe of tags",
    "retrieval_with_group": "with the query's recording", "tagger": "of the tagger",
    "clusters": "of clusters", "time": "in time", "geometry": "", "baseline": "", "train": "in training",
    "val": "on validation clips",
}  # fmt: skip


def measure(key: str) -> str:
    """A measure in words: "probe/macro_f1" -> "macro F1 of the probe", "retrieval/map_at_r" -> "MAP@R within
    test"."""
    family, _, name = key.rpartition("/")
    words = _MEASURES.get(name, name.replace("multilabel_", "tag_").replace("_at_", "@").replace("_", " "))
    where = _WHERE.get(family, family.replace("/", " ").replace("_", " "))
    return f"{words} {where}".strip()


def titled(key: str) -> str:
    """A measure in words, at the beginning of a line."""
    words = measure(key)
    return words[:1].upper() + words[1:]


def factor(key: str) -> str:
    """A dotted recipe key in words: "loss.margin" -> "margin", "embedding.size" -> "embedding size"."""
    section, _, last = key.rpartition(".")
    section = section.rpartition(".")[2].replace("_", " ")
    if last == "kind" and section:
        return section
    words = _SPELT.get(last, last.replace("_", " "))
    return f"{section} {words}" if last in _VAGUE and section else words


def number(text: str) -> float | None:
    """The number that `text` spells, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def label(facts: StudyFacts, name: str) -> str:
    """What an arm (by id) or a baseline ("baseline/mfcc_stats") is called in a sentence: "margin 0.3"."""
    if name.startswith("baseline/"):
        plain = name.removeprefix("baseline/")
        return PLAIN_SPACES.get(plain, plain)
    for each in facts.arms:
        if each.arm.id == name:
            return _arm_label(facts, each)
    return name


def _arm_label(facts: StudyFacts, each: ArmFacts) -> str:
    name = each.arm.name
    says_little = number(name) is not None or name.lower() in ("true", "false", "null", "none")
    return f"{factor(facts.varied[0])} {name}" if len(facts.varied) == 1 and says_little else name


def sentence(text: str) -> str:
    """`text` with a capital letter, unless it begins with a name that would change by it ("nt_xent")."""
    first = text.split(" ", 1)[0].rstrip(",;:")
    return text[:1].upper() + text[1:] if first.isalpha() else text


def digits(facts: StudyFacts) -> int:
    """Decimals of the judge: one more than the smallest difference that matters has; 2 to 5."""
    return min(5, max(2, math.ceil(-math.log10(facts.meaningful)) + 1)) if facts.meaningful > 0 else 3


def plain(value: float, decimals: int = 3) -> str:
    """A measured number with a true minus sign; large ones get fewer decimals."""
    decimals = decimals if abs(value) < 10 else max(0, decimals - 2)
    text = f"{value:.{decimals}f}".replace("-", "−")
    return text if text.strip("−0.") else text.lstrip("−")


def mean_and_interval(estimate: Estimate, decimals: int = 3) -> str:
    """ "0.781 [0.762, 0.800]"; the mean alone where there was nothing to take an interval from."""
    mean = plain(estimate.mean, decimals)
    if estimate.low == estimate.high:
        return mean
    return f"{mean} [{plain(estimate.low, decimals)}, {plain(estimate.high, decimals)}]"


def signed(value: float, decimals: int = 3) -> str:
    """A difference, always with its sign: "+0.012"."""
    text = plain(value, decimals)
    return text if text.startswith("−") else f"+{text}"


def chance(p: float) -> str:
    """A p value as "= 0.034" or "< 0.001"; never zero."""
    return f"= {p:.3f}" if p >= 0.001 else "< 0.001"


def listed(words: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "none"
