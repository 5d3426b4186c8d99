"""The sections of the document of a study: sentences, tables and figures."""

from collections.abc import Iterator, Mapping, Sequence

from nearfield.core.text import count
from nearfield.data.settings import Fold, judged
from nearfield.study.claims import (
    between,
    claim,
    digits,
    factor,
    label,
    left_out,
    listed,
    measure,
    most_gained,
    plain,
    sentence,
    signed,
    source_pairs,
    source_verdict,
    titled,
    verdict_claim,
)
from nearfield.study.document import figures, tables
from nearfield.study.document.content import (
    Block,
    Code,
    Content,
    Heading,
    Items,
    Paragraph,
    Part,
    Picture,
    Quoted,
    Section,
    Strong,
    said,
)
from nearfield.study.document.figures import tag_figure
from nearfield.study.document.next_steps import next_steps, open_pairs
from nearfield.study.document.writers import tex
from nearfield.study.records import Comparison, StudyFacts, Verdict
from nearfield.study.statistics.planning import cost, further_seeds


def document(facts: StudyFacts, introductions: Mapping[str, str]) -> Content:
    """Creates the document; `introductions` are descriptions of settings by dotted recipe key."""
    runs = sum(len(each.runs) for each in facts.arms)
    line = (
        f"{count(len(facts.arms), 'arm')} · {count(len(facts.seeds), 'seed')} · {count(runs, 'training')} · "
    )
    return Content(
        f"Study doc: {facts.title}",
        facts.question,
        f"{line}plan {facts.plan_hash[:12]}",
        tuple(_abstract(facts)),
        _some(
            Section("Introduction", tuple(_introduction(facts, introductions))),
            Section("Hyperparameters", tuple(_hyperparameters(facts))),
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
            Section("All hyperparameters", (tables.settings_table(facts),), numbered=False),
        ),
    )


def _some(*sections: Section) -> tuple[Section, ...]:
    """Returns the sections that are not empty."""
    return tuple(section for section in sections if section.blocks)


def closing(facts: StudyFacts) -> str:
    """Returns the summary for the command line: the recommended arm, and what is undecided."""
    short = [label(facts, each.other) for each in _against_baselines(facts) if each.claim != "better"]
    beside = f"Not shown to beat {listed(short)}. " if short else ""
    return said((*_recommendation(facts), *_deciding(facts), beside, *_source_line(facts))).strip()


def _abstract(facts: StudyFacts) -> Iterator[Block]:
    varied = listed([factor(key) for key in facts.varied])
    fold = facts.recipe.get("data", {}).get("fold")
    sides = judged(Fold(**fold) if fold else None)
    yield Paragraph(
        (
            Quoted(sentence(f"{varied} on {facts.data.get('name') or 'one data set'}")),
            f": {count(len(facts.arms), 'arm')} of {count(len(facts.seeds), 'seed')}, each trained for ",
            Quoted(_clause(facts.held)),
            f". The judge is {measure(facts.judge)} on held-out {sides}; what is said holds for this split "
            "of this set. ",
            *_recommendation(facts),
            *_proof(facts),
            *_left_out(facts),
            *_one_group(facts),
            *_deciding(facts),
            *_short_of_baselines(facts),
            *_source_line(facts),
        )
    )
    if facts.reduced:
        yield Paragraph((Strong("Scaled down. "), Quoted(facts.reduced)))
    if facts.conclusion.verdicts:
        yield tables.verdict_table(facts)


def _recommendation(facts: StudyFacts) -> Iterator[Part]:
    chosen = facts.conclusion.recommended
    if chosen is None:
        yield Strong("No arm is recommended: ")
        yield Quoted(_clause(facts.conclusion.recommended_because or "nothing is decided"))
        yield ". "
        return
    yield Strong(f"Recommended: {label(facts, chosen)}")
    yield ", because "
    yield Quoted(_clause(facts.conclusion.recommended_because))
    yield ". "
    lost = facts.conclusion.at_most_lost
    if lost:
        yield f"Another arm is better by at most {plain(lost, digits(facts))}. "


def _proof(facts: StudyFacts) -> Iterator[Part]:
    """Yields the verdict on the recommended arm, with its evidence."""
    for verdict in facts.conclusion.verdicts:
        if verdict.arm == facts.conclusion.recommended:
            yield _verdict(facts, verdict)
            yield " "


def _left_out(facts: StudyFacts) -> Iterator[Part]:
    for words, why in left_out(facts):
        yield words
        yield Quoted(f"{why.splitlines()[0].rstrip('.')}. ")


def _one_group(facts: StudyFacts) -> Iterator[Part]:
    """Warns if the test split has only one group, so that generalization cannot be tested."""
    if any(each.groups == 1 for each in facts.conclusion.comparisons):
        yield (
            "This judge has no score of single recordings, or there is one alone: whether other recordings "
            "would show the same is not tested. "
        )


def _verdict(facts: StudyFacts, verdict: Verdict) -> Part:
    """Returns a verdict as a claim, or quotes its reason if no comparison supports it."""
    made = verdict_claim(facts, verdict)
    return Quoted(made) if isinstance(made, str) else made


def _deciding(facts: StudyFacts) -> Iterator[Part]:
    """States the cost of deciding the open pairs; nothing if every arm has a verdict."""
    if all(verdict.word != "undecided" for verdict in facts.conclusion.verdicts):
        return
    pairs = open_pairs(facts)
    by_seeds = [needed for each in pairs if (needed := further_seeds(each))]
    rest = [each for each in pairs if not further_seeds(each)]
    if pairs:
        yield f"{count(len(pairs), 'pair')} of arms {'is' if len(pairs) == 1 else 'are'} not decided. "
    if by_seeds:
        seeds = count(max(by_seeds), "more seed")
        trainings = count(max(by_seeds) * len(facts.arms), "further training")
        some = f"{len(by_seeds)} of them" if rest else _them(by_seeds)
        yield f"To decide {some}, about {seeds} for every arm, {trainings}, would be needed. "
    if rest:
        some = f"the other{f' {len(rest)}' if len(rest) > 1 else ''}" if by_seeds else _them(rest)
        yield f"For {some}: {cost(rest[0])}. "


def _them(pairs: Sequence[object]) -> str:
    return "it" if len(pairs) == 1 else "them"


def _short_of_baselines(facts: StudyFacts) -> Iterator[Part]:
    """Lists baselines that the recommended arm, or no arm, is shown to beat; nothing if it beats all."""
    rows = [each for each in _against_baselines(facts) if each.claim != "better"]
    if not rows:
        return
    if any(each.claim != "undecided" for each in rows):
        for each in rows:
            yield claim(facts, each)
            yield " "
        return
    n = digits(facts)
    gaps = [
        f"{label(facts, each.one)} and {label(facts, each.other)} ({signed(each.difference, n)})"
        for each in rows
    ]
    yield f"Not significant on {measure(facts.judge)} are the differences between {'; '.join(gaps)}. "


def _source_line(facts: StudyFacts) -> Iterator[Part]:
    if facts.source is not None and not source_pairs(facts):
        yield f"Study {facts.source.study} made no claim that this comparison can test."
    elif facts.source is not None:
        yield f"The conclusion of the source study {facts.source.study} is "
        yield Strong(source_verdict(facts))
        yield " here."
        left = most_gained(facts)
        if left is not None and facts.source.gain is not None:
            most = plain(max(left, 0.0), digits(facts))
            yield f" An advantage of {facts.source.gain:g} is excluded; at most {most} is left."


def _introduction(facts: StudyFacts, introductions: Mapping[str, str]) -> Iterator[Block]:
    yield Paragraph(("The question: ", Quoted(facts.question)))
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


def _hyperparameters(facts: StudyFacts) -> Iterator[Block]:
    names = listed([label(facts, each.arm.id) for each in facts.arms])
    yield Paragraph((f"The arms are {names}. Each is trained for ", Quoted(_clause(facts.held)), "."))
    named = [each for each in facts.arms if each.arm.changes]
    if len(facts.varied) > 1:
        yield Paragraph(("What each arm changes in the recipe:",))
        yield Items(
            tuple(
                (Strong(label(facts, each.arm.id)), Quoted(f": {_changes(each.arm.changes)}"))
                for each in named
            )
        )


def _changes(changes: Mapping[str, object]) -> str:
    return ", ".join(f"{key} = {tables.value_text(value)}" for key, value in tables.flatten(changes).items())


def _results(facts: StudyFacts) -> Iterator[Block]:
    yield Heading(titled(facts.judge))
    if facts.conclusion.estimates:
        yield Picture(
            "judge",
            f"{titled(facts.judge)} of every arm. Discs are means over seeds, bars 95 % intervals "
            "for training chance and the finite test set together, small dots beside them single seeds; "
            "hollow discs are arms that are not comparable. Dashed lines are baselines. "
            f"{tables.seeds_of_baselines(facts)}",
            figures.judge_figure(facts),
        )
    pairs = figures.drawn_pairs(facts)
    if pairs:
        yield Picture(
            "differences",
            "Paired differences: discs are the first arm less the second, bars simultaneous 95 % intervals. "
            f"The band is the meaningful difference of {facts.conclusion.meaningful:g} on either side of 0"
            + (
                "."
                if len(pairs) == len(_among_arms(facts))
                else "; pairs with the first arm of the means only."
            ),
            figures.difference_figure(facts, pairs),
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
    yield from _collapses(facts)


def _power(facts: StudyFacts) -> Iterator[Part]:
    powers = [each.power for each in facts.conclusion.comparisons if not each.other.startswith("baseline/")]
    if powers:
        low, high = plain(min(powers), 2), plain(max(powers), 2)
        between_them = low if low == high else f"{low} to {high}"
        yield (
            f" A study of this size shows a true difference of {facts.conclusion.meaningful:g} with a chance "
            f"of {between_them}."
        )


def _training(facts: StudyFacts) -> Iterator[Block]:
    names = {name for each in facts.arms for run in each.runs for name in run.curves}
    if not names:
        return
    yield Heading("Training")
    if "train/loss" in names:
        apart, beside = losses_differ(facts), "val/loss" if "val/loss" in names else ""
        title = "Training loss (colour) and validation loss (dashed)" if beside else "Training loss"
        smooth = _averaged(facts, "train/loss")
        raw = smooth.replace("raw, mean over seeds", "raw, every seed") if apart or beside else smooth
        scales = (
            " Each panel has its own scale: losses of different settings are never set against each other."
        )
        yield Picture(
            "loss",
            f"{title} of all arms. {raw}{scales if apart else ' It judges nothing.'}",
            figures.curve_figure(facts, "train/loss", apart, beside),
        )
    if "train/active_fraction" in names:
        smooth = _averaged(facts, "train/active_fraction")
        yield Picture(
            "active",
            f"Share of triplets or pairs that still pull or push. {smooth}",
            figures.curve_figure(facts, "train/active_fraction", apart=False),
        )
    speed = tables.speed_table(facts)
    if speed is not None:
        yield speed
    for name in sorted(name for name in names - {"val/loss"} if name.startswith("val/"))[:3]:
        yield Picture(
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
        yield Picture(
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
    if centroids:
        yield Picture(
            "centroids",
            "Distances between the centroids of classes, mean over seeds, on one scale for all arms; CV is "
            "their coefficient of variation. Descriptive only.",
            figures.centroid_figure(facts),
        )
        yield tables.centroid_table(facts)
    unseen = any(found.unseen for each in facts.arms for found in each.maps)
    for method, side in dict.fromkeys((m.method, m.side) for each in facts.arms for m in each.maps):
        yield Picture(
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
        name = label(facts, each.arm.id)
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
    yield Paragraph(tuple(_recommendation(facts)))
    verdicts = facts.conclusion.verdicts
    told = tuple((_verdict(facts, verdict),) for verdict in verdicts if verdict.word != "undecided")
    if told:
        yield Items(told)
    if still := [label(facts, verdict.arm) for verdict in verdicts if verdict.word == "undecided"]:
        yield Paragraph((f"Not decided: {listed(still)}.", *_next(open_pairs(facts))))
    beside = [each for each in _against_baselines(facts) if each.claim == "better"]
    if beside:
        yield Paragraph(("Against the baselines:",))
        yield Items(tuple((claim(facts, each),) for each in beside))
    yield Paragraph(tuple(_short_of_baselines(facts)))
    if facts.source is not None:
        yield Heading("The source's conclusion")
        yield Paragraph(
            (Quoted(f"{facts.source.document}: “{facts.source.concluded}” "), *_source_line(facts))
        )
        found = [between(facts, one, other) for one, other in source_pairs(facts)]
        if any(found):
            yield Paragraph(("It rests on:",))
            yield Items(tuple((claim(facts, each),) for each in found if each))
        if not all(found):
            yield Paragraph(("Some of the arms that it speaks of are not comparable here.",))


def _next(pairs: Sequence[object]) -> tuple[Part, ...]:
    return (" What would decide the pairs stands under Next steps.",) if pairs else ()


def _among_arms(facts: StudyFacts) -> list[Comparison]:
    return [each for each in facts.conclusion.comparisons if not each.other.startswith("baseline/")]


def _against_baselines(facts: StudyFacts) -> list[Comparison]:
    """Returns the comparisons of the recommended arm with baselines; without one, of each baseline that no
    arm is shown to beat with the nearest arm."""
    arm = facts.conclusion.recommended
    rows = [each for each in facts.conclusion.comparisons if each.other.startswith("baseline/")]
    if arm is not None:
        return [each for each in rows if each.one == arm]
    beaten = {each.other for each in rows if each.claim == "better"}
    open_to_all = dict.fromkeys(each.other for each in rows if each.other not in beaten)
    return [
        max((each for each in rows if each.other == name), key=lambda each: each.difference)
        for name in open_to_all
    ]


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
