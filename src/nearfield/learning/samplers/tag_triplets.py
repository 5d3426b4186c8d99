"""Triplets by tag: two clips that are to be near each other, one that is to be far from them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field

from nearfield.core.errors import DataError, RequestError
from nearfield.core.nouns import Bools, Draw, Facts, Floats, Ints, Pairs
from nearfield.core.seeds import stream
from nearfield.core.settings import Settings
from nearfield.learning.relations.synonyms import Synonyms, merge_scores, merge_synonyms
from nearfield.learning.samplers.by_prediction import ByPrediction
from nearfield.learning.samplers.by_tag import ByTag
from nearfield.learning.samplers.cutting import cut
from nearfield.learning.samplers.replacing import Replacing
from nearfield.learning.samplers.tag_sets import Triplets, apart
from nearfield.learning.samplers.windows import random_starts

Rule = ByTag | ByPrediction | Replacing


class TagTriplets(Settings):
    """A tag is drawn uniformly, then two clips with it and one without. Clips without tags are left out.

    An epoch has as many triplets as there are clips. Unless guarded, the negative lacks that one tag and may
    share others with the anchor: `shared_share` says how many do. Two further rules ask an earlier tagger.
    """

    kind: Literal["tag_triplets"] = "tag_triplets"
    batch: int = Field(32, ge=1)
    """Triplets a batch."""
    rule: Literal["tag", "extreme", "errors"] = "tag"
    """What positive and negative are drawn by: a tag; the anchor's most and least probable tags, as a tagger
    has it; or the tagger's errors, a tag of the anchor that it missed and one that it named wrongly."""
    tagger: str | None = None
    """Folder of a run with a tagging loss, whose predictions the rules extreme and errors ask; best one that
    was trained on other clips."""
    top: int = Field(5, ge=1)
    """With the rule errors: how many of its most probable tags the tagger names for a clip."""
    keep_right: bool = True
    """With the rule errors: triplets are drawn by a tag, and an error replaces the positive or the negative;
    what the tagger got right stays. Without, only clips with both sorts of errors are anchors."""
    guard: bool = False
    """The negative shares no tag at all with the anchor."""
    synonyms: Synonyms = ()
    """Groups of tags that mean the same; each group counts as one tag, which a negative lacks as a whole."""

    introductions: ClassVar[dict[str, str]] = {
        "rule": (
            "By what tags a triplet is made. A tag drawn at random lets every tag count, and most triplets "
            "are soon satisfied. A clip with the tag that an earlier tagger finds least probable is far away "
            "from the start: training runs out of triplets that violate the margin, and others teach nothing "
            "(Schroff et al. 2015). The tagger's errors give hard triplets, also where the error is the "
            "data's, a tag that nobody wrote down; a tagger trained on the same clips makes few."
        ),
        "guard": (
            "Whether the negative may share other tags with the anchor. Without a guard many do, and what "
            "one triplet pushes apart another pulls together; with it, negatives are farther and easier, "
            "and clips with many tags find few of them."
        ),
        "tagger": (
            "The tagger that is asked what it says of each clip. One that was trained on these very clips "
            "makes few errors on them, and those where the data are wrong; a poor one calls everything an "
            "error."
        ),
        "top": (
            "How many tags the tagger names for a clip. Fewer than it has, and true tags count as missed; "
            "more, and most of what it names is wrong by number alone."
        ),
    }

    def build(self, facts: Facts, rows: Ints, clip_seconds: float, seed: int) -> "TagTripletSampler":
        """The sampler over `rows`.

        Raises DataError where no tag makes a triplet, RequestError where a rule lacks its predictions.
        """
        tags, names = merge_synonyms(facts.tags, facts.tag_names, self.synonyms, "sampler")
        tagged = rows[tags[rows].any(axis=1)]
        if not len(tagged):
            raise DataError(
                "sampler: tag_triplets: none of the clips to train on has a tag. Name the column that holds "
                "them (data.tags), or take another sampler: balanced, shuffle, tiles, views."
            )
        chance = stream(seed, "opposites")
        if self.rule == "tag":
            rule: Rule = ByTag.of(tags[tagged], self.guard, chance)
        else:
            rule = self._asking(tags[tagged], self._predictions(facts)[tagged], chance)
        if not rule.count:
            raise self._nothing(len(names))
        dropped = tuple(names[tag] for tag in np.setdiff1d(np.arange(len(names)), rule.usable))
        return TagTripletSampler(facts, tagged, clip_seconds, seed, self, dropped, rule)

    def _asking(
        self, tags: Bools, predictions: Floats, chance: np.random.Generator
    ) -> ByPrediction | Replacing:
        if self.rule == "extreme":
            return ByPrediction.extreme(tags, predictions, self.guard)
        if self.keep_right:
            return Replacing.of(tags, predictions, self.top, self.guard, chance)
        return ByPrediction.errors(tags, predictions, self.top, self.guard)

    def _predictions(self, facts: Facts) -> Floats:
        if facts.predictions is None:
            raise RequestError(
                f"sampler.rule: {self.rule!r} asks what a tagger says of each clip, and no tagger is given. "
                "Set sampler.tagger to the folder of a run that was trained with loss bce or focal, or "
                "sampler.rule to tag."
            )
        return merge_scores(facts.predictions, facts.tag_names, self.synonyms)

    def _nothing(self, tags: int) -> DataError:
        if self.rule != "tag":
            what = {
                "extreme": "most and least probable tags that other clips have",
                "errors": f"{'' if self.keep_right else 'both '}a tag outside the tagger's first {self.top} "
                f"{'or' if self.keep_right else 'and'} a wrong one among them",
            }[self.rule]
            guarded = " Set sampler.guard to false, or" if self.guard else " Change sampler.top, or"
            return DataError(
                f"sampler: tag_triplets: rule {self.rule!r}: no clip has a prediction and {what}.{guarded} "
                "take the rule tag."
            )
        third = "that shares none with one of them. Set sampler.guard to false" if self.guard else "without"
        return DataError(
            f"sampler: tag_triplets: none of {tags} tags has two clips with it and a third {third}."
        )


@dataclass(frozen=True)
class TagTripletSampler:
    """Draws the triplets of an epoch at once and cuts them into batches."""

    facts: Facts
    rows: Ints
    """The clips that have tags."""
    clip_seconds: float
    seed: int
    settings: TagTriplets
    dropped: tuple[str, ...]
    """Tags by which no triplet can be made."""
    rule: Rule

    @property
    def batch_size(self) -> int:
        """Windows a batch; the last of an epoch may hold fewer, or one triplet more."""
        return 3 * self.settings.batch

    @property
    def is_short(self) -> bool:
        """Whether all triplets together are fewer than a batch was to hold."""
        return self.clips_per_epoch < self.batch_size

    @property
    def clips_per_epoch(self) -> int:
        """Windows drawn in an epoch: three for each clip with tags that can be an anchor."""
        return 3 * self.rule.count

    def epoch(self, number: int) -> Iterator[Draw]:
        """The draws of epoch `number`, laid out as anchors, positives, negatives; `pairs` is set."""
        triplets = self.triplets(number)
        chance = stream(self.seed, "windows", number)
        for part in cut(np.arange(self.rule.count), self.settings.batch):
            rows = np.concatenate(
                [triplets.anchors[part], triplets.positives[part], triplets.negatives[part]]
            )
            places = torch.arange(len(part))
            pairs = Pairs.from_triplets(places, places + len(part), places + 2 * len(part), len(rows))
            yield Draw(rows, random_starts(self.facts, rows, self.clip_seconds, chance), pairs)

    def triplets(self, number: int) -> Triplets:
        """The triplets of epoch `number` in their order, by row number."""
        tags, anchors, positives, negatives = self._places(number)
        return Triplets(tags, self.rows[anchors], self.rows[positives], self.rows[negatives])

    def shared_share(self, number: int) -> float:
        """Share (0..1) of epoch `number`'s negatives that have a tag in common with their anchor."""
        _, anchors, _, negatives = self._places(number)
        words = self.rule.words
        return 1.0 - float(apart(words[anchors], words[negatives]).mean())

    def describe(self) -> str:
        """One line: batch, epoch, what is left out, and how clean the negatives are."""
        line = (
            f"Batches of {self.batch_size} windows: {self.settings.batch} triplets. One epoch has "
            f"{self.clips_per_epoch:,} windows {self.rule.describe()}. {self.shared_share(0):.1%} of "
            "negatives share another tag with their anchor."
        )
        return line + (f" Tags without triplets: {', '.join(self.dropped)}." if self.dropped else "")

    def _places(self, number: int) -> Triplets:
        """The same by positions among the tagged clips."""
        return self.rule.draw(stream(self.seed, "batches", number))
