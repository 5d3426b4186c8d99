"""The sections of the document of a study: sentences, tables and figures."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nearfield.core.text import count
from nearfield.data.settings import Fold, judged
from nearfield.study.claims import (
    between,
    called,
    claim,
    factor,
    label,
    listed,
    measure,
    plain,
    rivals,
    sentence,
    source_pairs,
    titled,
    verdict_claim,
)
from nearfield.study.document import figures, tables
from nearfield.study.document.answer import against_baselines, answer
from nearfield.study.document.content import (
    Block,
    Code,
    Content,
    Figure,
    Heading,
    Items,
    Paragraph,
    Part,
    Quoted,
    Section,
    Strong,
    Table,
)
from nearfield.study.document.figures import tag_figure
from nearfield.study.document.next_steps import next_steps
from nearfield.study.document.writers import tex
from nearfield.study.records import Comparison, StudyFacts, Verdict


def document(facts: StudyFacts, introductions: Mapping[str, str]) -> Content:
    """Creates the document; `introductions` are descriptions of settings by dotted recipe key."""
    runs = sum(len(each.runs) for each in facts.arms)
    line = f"{count(len(facts.arms), 'arm')} · {seeds_words(facts)} · {count(runs, 'training')} · "
    return _once(
        Content(
            f"Study doc: {facts.title}",
            facts.question,
            f"{line}plan {facts.plan_hash[:12]}",
            tuple(_opening(facts)),
            _some(
                Section("Introduction", (*_introduction(facts, introductions), *_arms(facts))),
                Section("Results", tuple(_results(facts))),
                Section("Conclusion", tuple(_conclusion(facts))),
                Section("Next steps", (Items(next_steps(facts)),)),
                Section(
                    "Failures and warnings", tuple(_warnings(facts)), numbered=False, short=_failed(facts) > 0
                ),
                Section("Data card", tuple(_data(facts)), numbered=False),
                Section("Software and hardware", tuple(_environment(facts)), numbered=False),
                Section(
                    "Deviations from the plan",
                    tuple(_deviations(facts)),
                    numbered=False,
                    short=bool(facts.deviations),
                ),
                Section("Reproduce and cite", tuple(_again(facts)), numbered=False),
                Section("Hyperparameters", (tables.settings_table(facts),), numbered=False),
            ),
        )
    )


def _once(content: Content) -> Content:
    """Removes from captions the sentences that an earlier caption has said."""
    before: set[str] = set()

    def new(block: Block) -> Block:
        if not isinstance(block, Table | Figure):
            return block
        sentences = re.split(r"(?<=\.) (?=[A-Z])", block.caption)
        kept = " ".join(each for each in sentences if each not in before)
        before.update(sentences)
        return replace(block, caption=kept or "Continued.")

    answer = tuple(map(new, content.answer))
    sections = (replace(each, blocks=tuple(map(new, each.blocks))) for each in content.sections)
    return replace(content, answer=answer, sections=tuple(sections))


def seeds_words(facts: StudyFacts) -> str:
    """Returns the number of seeds, with that of the folds if there are any."""
    if facts.folds < 2:
        return count(len(facts.seeds), "seed")
    return f"{count(len(facts.seeds) // facts.folds, 'seed')} in each of {facts.folds} folds"


def _some(*sections: Section) -> tuple[Section, ...]:
    """Returns the sections that are not empty."""
    return tuple(section for section in sections if section.blocks)


def _opening(facts: StudyFacts) -> Iterator[Block]:
    """The answer, its table and its figure, then what was done to find it."""
    yield from (Paragraph(parts) for parts in answer(facts))
    if facts.conclusion.verdicts:
        yield tables.verdict_table(facts)
    if found := rivals(facts, facts.conclusion.recommended or ""):
        yield Figure(
            "differences",
            f"Paired differences from {called(facts, found[0].other)} with simultaneous 95 % intervals; what "
            "is decided is blue. In the shaded region, up to the meaningful difference of "
            f"{facts.conclusion.meaningful:g} on either side of 0, a difference has no importance.",
            figures.difference_figure(facts, found),
        )
    yield Paragraph(tuple(_setting(facts)))
    if facts.reduced:
        yield Paragraph((Strong("Scaled down. "), Quoted(facts.reduced)))


def _setting(facts: StudyFacts) -> Iterator[Part]:
    varied = listed([factor(key) for key in facts.varied])
    fold = facts.recipe.get("data", {}).get("fold")
    sides = judged(Fold(**fold) if fold else None)
    yield Quoted(sentence(f"{varied} on {facts.data.get('name') or 'one data set'}"))
    yield f": {count(len(facts.arms), 'arm')} of {seeds_words(facts)}, each trained for "
    yield Quoted(_clause(facts.held))
    judge = f". The judge is {measure(facts.judge)} on "
    if facts.folds > 1:
        yield (
            f"{judge}all clips, each by trainings that never saw it; what is said holds for this set and its "
            "splits."
        )
    else:
        yield f"{judge}held-out {sides}; what is said holds for this split of this set."


def _verdict(facts: StudyFacts, verdict: Verdict) -> Part:
    """Returns a verdict as a claim, or quotes its reason if no comparison supports it."""
    made = verdict_claim(facts, verdict)
    return Quoted(made) if isinstance(made, str) else made


def _introduction(facts: StudyFacts, introductions: Mapping[str, str]) -> Iterator[Block]:
    for key in facts.varied:
        text = introductions.get(key)
        yield Paragraph((Quoted(text or f"What varies is {factor(key)} ({key} in the recipe)."),))
    if facts.source is not None:
        yield Paragraph(
            (
                "It was asked before in ",
                Quoted(f"{facts.source.document} ({facts.source.study}): “{facts.source.question}” "),
                "The answer given there: ",
                Quoted(f"“{facts.source.concluded}”"),
            )
        )
    yield Paragraph(
        (
            "Seeds are replicates. A seed gives every arm the same initial weights where shapes agree, the "
            "same batches in the same order and the same split, so that differences are paired. Choices "
            "within a run use val; this document reports test.",
        )
    )


def _arms(facts: StudyFacts) -> Iterator[Block]:
    """What each arm changes; nothing if the names of the arms say it."""
    if len(facts.varied) > 1:
        yield Paragraph(("What each arm changes in the recipe:",))
        yield Items(
            tuple(
                (Strong(label(facts, each.arm.id)), Quoted(f": {_changes(each.arm.changes)}"))
                for each in facts.arms
                if each.arm.changes
            )
        )


def _changes(changes: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {tables.value_text(value)}" for key, value in tables.flatten(changes).items())


def _results(facts: StudyFacts) -> Iterator[Block]:
    yield Heading(titled(facts.judge))
    if facts.conclusion.estimates:
        yield Figure(
            "judge",
            f"{titled(facts.judge)} of every arm. Discs are means over seeds, bars 95 % intervals "
            "for training chance and the finite test set together, small dots beside them single seeds; "
            "hollow discs are arms that are not comparable. Dashed lines are baselines. "
            f"{tables.seeds_of_baselines(facts)}",
            figures.judge_figure(facts),
        )
    shape = facts.conclusion.trend
    if shape is not None and shape.curve:
        yield Figure(
            "trend",
            f"{titled(facts.judge)} over the {factor(facts.varied[0])}: means of the arms, the parabola "
            "through them, and as a band the 95 % interval of each of its points around the mean of all.",
            figures.trend_figure(facts, shape),
        )
    yield from tables.results_tables(facts)
    yield Heading("Comparisons")
    yield Paragraph((Quoted(facts.conclusion.procedure), *_power(facts)))
    for table in (tables.comparison_table(facts, False), tables.comparison_table(facts, True)):
        if table is not None:
            yield table
    trials = tables.search_table(facts)
    if trials is not None:
        yield Heading("The search")
        yield trials
    yield from _training(facts)
    yield from _classes(facts)
    yield from _space(facts)


def _power(facts: StudyFacts) -> Iterator[Part]:
    powers = [each.power for each in facts.conclusion.among_arms]
    if powers:
        low, high = plain(min(powers), 2), plain(max(powers), 2)
        between_them = low if low == high else f"{low} to {high}"
        yield (
            f" A study of this size shows a true difference of {facts.conclusion.meaningful:g} with a chance "
            f"of {between_them}."
        )


def _training(facts: StudyFacts) -> Iterator[Block]:
    names = {name for each in facts.arms for run in each.runs for name in run.curves}
    failing = tuple(_collapses(facts))
    if names or failing:
        yield Heading("Training")
    yield from failing
    if "train/loss" in names:
        apart, beside = losses_differ(facts), "val/loss" if "val/loss" in names else ""
        title = "Training loss (colour) and validation loss (dashed)" if beside else "Training loss"
        smooth = _averaged(facts, "train/loss")
        raw = smooth.replace("raw, mean over seeds", "raw, every seed") if apart or beside else smooth
        scales = (
            " Each panel has its own scale: losses of different settings are never set against each other."
        )
        yield Figure(
            "loss",
            f"{title} of all arms. {raw}{scales if apart else ' It judges nothing.'}",
            figures.curve_figure(facts, "train/loss", apart, beside),
        )
    if "train/active_fraction" in names:
        smooth = _averaged(facts, "train/active_fraction")
        yield Figure(
            "active",
            f"Share of triplets or pairs that still pull or push. {smooth}",
            figures.curve_figure(facts, "train/active_fraction", apart=False),
        )
    speed = tables.speed_table(facts)
    if speed is not None:
        yield speed
    for name in sorted(name for name in names - {"val/loss"} if name.startswith("val/"))[:3]:
        yield Figure(
            name.replace("/", "-"),
            f"{titled(name)}, while training. {_averaged(facts, name)}",
            figures.curve_figure(facts, name, apart=False),
        )


def _averaged(facts: StudyFacts, name: str) -> str:
    return f"Thin: raw, mean over seeds. Thick: moving average over {figures.averaged_over(facts, name)}."


SPLITS = {"train": "training", "val": "validation", "test": "test"}


def losses_differ(facts: StudyFacts) -> bool:
    """Returns whether the losses of the arms have different scales."""
    return any(key.startswith(("loss", "miner", "penalty", "relation")) for key in facts.varied)


def _classes(facts: StudyFacts) -> Iterator[Block]:
    if any(each.classes for each in facts.arms):
        yield Heading("Classes")
        yield from tables.class_tables(facts)
    if facts.tags:
        yield Heading("Tags")
        yield Figure(
            "tags",
            "ROC-AUC of each tag under each arm, tags by falling area under the first. Bars begin at chance, "
            "0.5; strokes are 95 % intervals for training chance and the test recordings; pale bars are tags "
            "of fewer than 20 test clips. Described, not compared.",
            tag_figure(facts),
        )
        yield tables.tag_table(facts)


def _space(facts: StudyFacts) -> Iterator[Block]:
    methods = {found.method for each in facts.arms for found in each.maps}
    centroids = any(each.centroid_distances for each in facts.arms)
    if methods or centroids:
        yield Heading("The space")
        yield Paragraph(("Distances and maps describe the space; nothing is compared by them.",))
    if centroids:
        yield Figure(
            "centroids",
            "Distances between the centroids of classes, mean over seeds, on one scale for all arms; CV is "
            "their coefficient of variation. Descriptive only.",
            figures.centroid_figure(facts),
        )
        yield tables.centroid_table(facts)
    unseen = any(found.unseen for each in facts.arms for found in each.maps)
    for method, side in dict.fromkeys((m.method, m.side) for each in facts.arms for m in each.maps):
        yield Figure(
            f"{method}-{side}",
            f"{method.upper()} of {SPLITS[side]} clips, from each arm's first finished seed, the classes "
            f"with the most test clips ({len(figures.map_classes(facts))} at most). Trustworthiness: share "
            "of map neighbours that are true neighbours."
            + (" Hollow marks are classes of which training heard no clip." if unseen else ""),
            figures.map_figure(facts, method, side),
        )


def _collapses(facts: StudyFacts) -> Iterator[Block]:
    """States the failure rate that this number of seeds cannot exclude."""
    seeds = len(facts.seeds)
    whole = [each for each in facts.arms if each.runs and all(run.state == "done" for run in each.runs)]
    if whole:
        bound = 100 * (1 - 0.05 ** (1 / seeds))
        yield Paragraph(
            (
                f"Of an arm of which none of {count(seeds, 'training')} failed, up to {bound:.0f} % of all "
                "trainings may fail (95 % bound): rare collapses need more seeds to be seen.",
            )
        )


def _warnings(facts: StudyFacts) -> Iterator[Block]:
    """Lists failed trainings and warnings, each once with its arms and seeds."""
    found: dict[str, dict[str, list[str]]] = {}
    for each in facts.arms:
        name = called(facts, each.arm.id)
        for run in each.runs:
            for note in (*run.notes, *([f"Failed: {run.cause}"] if run.state == "failed" else [])):
                found.setdefault(note, {}).setdefault(name, []).append(str(run.seed))
        for note in each.warnings:
            found.setdefault(note, {}).setdefault(name, [])
    if failed := _failed(facts):
        trainings = count(sum(len(each.runs) for each in facts.arms), "training")
        yield Paragraph(
            (f"{failed} of {trainings} failed. The same command trains them again, unless they diverged.",)
        )
    if (diverged := tables.failure_table(facts)) is not None:
        yield diverged
    if found:
        yield Items(tuple((*_concerned(arms), ": ", Quoted(note)) for note, arms in found.items()))


def _failed(facts: StudyFacts) -> int:
    """Returns the number of failed trainings."""
    return sum(run.state == "failed" for each in facts.arms for run in each.runs)


def _concerned(arms: Mapping[str, Sequence[str]]) -> tuple[Part, ...]:
    """Returns arms with their seeds; the seeds once if they are the same for all."""
    said = {
        name: f"seed{'s' * (len(seeds) > 1)} {listed(list(seeds))}" for name, seeds in arms.items() if seeds
    }
    ways = {said.get(name, "") for name in arms}
    if len(ways) == 1:
        seeds = ways.pop()
        return Strong(sentence(listed(list(arms)))), f", {seeds}" if seeds else ""
    return (Strong(sentence(listed([f"{name} ({said[name]})" if name in said else name for name in arms]))),)


def _conclusion(facts: StudyFacts) -> Iterator[Block]:
    """The evidence of each verdict, and of what became of the source's conclusion."""
    told = [verdict for verdict in facts.conclusion.verdicts if verdict.word != "undecided"]
    if told:
        yield Items(tuple((_verdict(facts, verdict),) for verdict in told))
    still = [called(facts, each.arm) for each in facts.conclusion.verdicts if each.word == "undecided"]
    if still:
        pairs = facts.conclusion.among_arms
        open_ = sum(each.claim == "undecided" for each in pairs)
        yield Paragraph(
            (f"Not decided: {listed(still)}, in {open_} of {count(len(pairs), 'pair')} of arms.",)
        )
    beside = [each for each in against_baselines(facts) if each.claim == "better"]
    if beside:
        yield Paragraph(("Against the baselines:",))
        yield Items(tuple((claim(facts, each),) for each in beside))
    if facts.source is not None:
        yield from _source(facts)


def _source(facts: StudyFacts) -> Iterator[Block]:
    """The comparisons that the source's conclusion rests on; those that are not decided in one sentence."""
    yield Heading("The source's conclusion")
    found = [between(facts, one, other) for one, other in source_pairs(facts)]
    told = {frozenset((each.arm, each.against)) for each in facts.conclusion.verdicts}
    known = [each for each in found if each and each.claim != "undecided"]
    decided = [each for each in known if {each.one, each.other} not in told]
    open_ = [each for each in found if each and each.claim == "undecided"]
    if above := [each for each in known if each not in decided]:
        yield Paragraph((f"It rests on what is decided above: {_pairs(facts, above)}.",))
    if decided:
        yield Items(tuple((claim(facts, each),) for each in decided))
    if open_:
        yield Paragraph((f"Not decided: {_pairs(facts, open_)}.",))
    if not all(found):
        yield Paragraph(("Some of the arms that it speaks of are not comparable here.",))


def _pairs(facts: StudyFacts, rows: Sequence[Comparison]) -> str:
    return "; ".join(
        f"{called(facts, each.one)} against {called(facts, each.other)} ({tables.difference(facts, each)})"
        for each in rows
    )


def _data(facts: StudyFacts) -> Iterator[Block]:
    yield tables.fact_table("data", "The data set, as this study used it.", facts.data)


def _environment(facts: StudyFacts) -> Iterator[Block]:
    yield tables.fact_table("environment", "Software and hardware of the first training.", facts.environment)


def _deviations(facts: StudyFacts) -> Iterator[Block]:
    if facts.deviations:
        yield Items(tuple((Quoted(each),) for each in facts.deviations))
    else:
        yield Paragraph(("None: what was planned was done.",))


def _again(facts: StudyFacts) -> Iterator[Block]:
    yield Code(facts.command)
    yield Paragraph(("The plan was frozen before the first training; its sha256:",))
    yield Code(facts.plan_hash)
    yield Paragraph(("To cite this document:",))
    yield Code(bibtex(facts))


def bibtex(facts: StudyFacts) -> str:
    """Returns a BibTeX entry of the document, which has no date."""
    version = facts.environment.get("nearfield", "")
    fields = {
        "title": f"{{{tex(f'{facts.title}: {facts.question}')}}}",
        "howpublished": f"Study document made with Nearfield {version}".strip(),
        "note": f"sha256 of the plan: {facts.plan_hash}",
    }
    lines = ",\n".join(f"  {name} = {{{text}}}" for name, text in fields.items())
    return f"@misc{{nearfield-study-{facts.plan_hash[:12]},\n{lines}\n}}"


def _clause(text: str) -> str:
    return text.strip().rstrip(".")
