"""Answers in words to the questions of a study about a kind of family, such as diffusion models."""

from collections.abc import Mapping, Sequence
from itertools import product

from ..evaluation.comparison import Comparison, adjust
from ..evaluation.metrics import find_metric
from ..evaluation.replicates import LEVEL, Effect, compare_slopes
from .results import Answer, StudyResult, Verdict

REALISM = ("fid", "fd-*", "is", "is-*", "pd-*")  # FID, Inception score and perceptual distance, by any network


def answer_questions(result: StudyResult, comparisons: Sequence[Comparison]) -> list[Answer]:
    """Answer whether the families of `Question.group` score better, scale better, train slower, and infer slower."""
    question = result.study.question
    assert question
    group = [family for family in result.families if family in question.group]
    others = [family for family in result.families if family not in question.group]
    if not group or not others:
        return []
    name = question.name
    training = {
        family: [
            1000 * m.content["training"]["seconds"] / m.content["training"]["images_seen"]
            for m in result.select(family)
        ]
        for family in result.families
    }
    inference = {family: [cost["ms a photo"]] for family, cost in result.costs.items()}
    return [
        _answer_quality(
            f"Do {name} score better on Frechet distance, Inception score and perceptual distance?",
            group,
            others,
            comparisons,
        ),
        _answer_scaling(f"Do {name} gain more from more training images?", group, others, result),
        _answer_cost(f"Do {name} take longer to train?", "seconds for 1,000 images", group, others, training),
        _answer_cost(f"Do {name} take longer to colorize a photo?", "ms a photo", group, others, inference),
    ]


def _answer_quality(
    question: str, group: Sequence[str], others: Sequence[str], comparisons: Sequence[Comparison]
) -> Answer:
    outcomes, details = [], []
    for comparison in comparisons:
        first, second = comparison.models
        if not is_realism(comparison.metric) or (first in group) == (second in group):
            continue
        details.append(comparison.verdict)
        # The difference is that of the first family.
        advantage = comparison.difference if first in group else -comparison.difference
        outcomes.append(_outcome(comparison.metric, advantage, comparison.significant))
    return _answer_counts(question, outcomes, details)


def _outcome(metric: str, difference: float, significant: bool) -> int:
    """Return 1 where a difference from another family is a win, -1 where a loss, 0 where it is not significant."""
    if not significant:
        return 0
    return 1 if (difference > 0) == (find_metric(metric).better == "higher") else -1


def is_realism(metric: str) -> bool:
    """Return whether a metric is one of those that the question about quality names."""
    return find_metric(metric).name in REALISM


def _answer_scaling(question: str, group: Sequence[str], others: Sequence[str], result: StudyResult) -> Answer:
    metrics = [metric for metric in result.metrics if is_realism(metric)]
    effects: list[tuple[str, str, str, Effect]] = []
    for metric, ours, theirs in product(metrics, group, others):
        runs = result.scaling(ours, metric), result.scaling(theirs, metric)
        if all(len(set(sizes)) > 1 for sizes, _ in runs):
            effects.append((metric, ours, theirs, compare_slopes(*runs)))
    outcomes, details = [], []
    for (metric, ours, theirs, effect), p in zip(effects, adjust([e.p for *_, e in effects]), strict=True):
        interval = (
            f"{effect.value:+.3g} for each doubling ({effect.low:+.3g} to {effect.high:+.3g}, corrected p = {p:.2g})"
        )
        details.append(f"{metric}: {ours} - {theirs}: {interval}")
        outcomes.append(_outcome(metric, effect.value, p < 1 - LEVEL))
    return _answer_counts(question, outcomes, details)


def _answer_counts(question: str, outcomes: Sequence[int], details: Sequence[str]) -> Answer:
    """Answer by significant comparisons: it holds where all are won, and does not where one is lost."""
    total, wins, losses, ties = len(outcomes), outcomes.count(1), outcomes.count(-1), outcomes.count(0)
    if not total:
        return Answer(question, "undecided", "nothing was measured that could tell")
    verdict: Verdict = "undecided"
    if wins == total:
        verdict = "holds"
    elif losses > 0:
        verdict = "does not hold"
    figures = f"of {total} comparisons with other families, {wins} are won, {losses} lost, and {ties} not significant"
    return Answer(question, verdict, figures, details)


def _answer_cost(
    question: str, unit: str, group: Sequence[str], others: Sequence[str], values: Mapping[str, Sequence[float]]
) -> Answer:
    """Answer by ranges over seeds: it holds where every family of the group takes longer than every other."""
    ours = {family: values[family] for family in group if values.get(family)}
    theirs = {family: values[family] for family in others if values.get(family)}
    if not ours or not theirs:
        return Answer(question, "undecided", "nothing was measured that could tell")
    fastest, slowest = min(map(min, ours.values())), max(map(max, theirs.values()))
    verdict: Verdict = "holds" if fastest > slowest else "does not hold"
    ranking = sorted({**ours, **theirs}.items(), key=lambda item: min(item[1]))
    figures = ", ".join(f"{family} {_range(numbers)}" for family, numbers in ranking)
    return Answer(question, verdict, f"{unit}: {figures}")


def _range(numbers: Sequence[float]) -> str:
    low, high = f"{min(numbers):.3g}", f"{max(numbers):.3g}"
    return low if low == high else f"{low} to {high}"
