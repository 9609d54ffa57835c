"""What the answers of a survey say: fool rates or a ranking, agreement, and how carefully people answered."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .answers import Answer, without_repetitions
from .plan import TINTED, TRUTH
from .statistics import krippendorff_alpha, rank_intervals, share_intervals, wilson_interval

FEW = 5  # participants below which intervals say little


@dataclass(frozen=True)
class Value:
    """A value with its 95% interval and the number of trials that it rests on."""

    value: float
    low: float
    high: float
    trials: int


@dataclass(frozen=True)
class Results:
    """The results of a survey. ``all_participants``: the same as ``models``, with those who are left out."""

    question: str
    participants: int
    trials: int
    checks: int
    checks_passed: int
    max_failed: float
    left_out: dict[str, str]  # participants and their checks, "2 of 3 failed"
    irregular: dict[str, int] = field(default_factory=dict)  # trials left out, by their mark
    models: dict[str, Value] = field(default_factory=dict)  # fool rate, or strength
    all_participants: dict[str, float] = field(default_factory=dict)
    photos: dict[str, Value] = field(default_factory=dict)  # fool rate
    agreement: float | None = None
    left_share: float = 0.5  # of trials in which the left picture was chosen
    median_response: float = 0.0  # seconds
    notes: list[str] = field(default_factory=list)


def summarize(answers: Sequence[Answer], max_failed: float) -> Results:
    """Return the results of a survey.

    Args:
        answers: Of one question; several files may be joined.
        max_failed: Participants who failed a larger share of their attention checks are left out.

    Raises:
        ValueError: There are no answers to evaluate, or answers to several questions.
    """
    questions = {answer.question for answer in answers}
    if len(questions) != 1:
        raise ValueError("answers to two questions: evaluate each file by itself" if questions else "no answers yet")
    answers = without_repetitions(answers)
    checks = [answer for answer in answers if answer.kind == "check"]
    left_out = _inattentive(checks, max_failed)
    trials = [answer for answer in answers if answer.kind == "trial"]
    irregular = {mark: sum(mark in answer.marks for answer in trials) for mark in ("late", "paused", "repeated")}
    regular = [answer for answer in trials if not answer.marks]
    kept = [answer for answer in regular if answer.participant not in left_out]
    if not kept:
        raise ValueError(
            f"none of {len(trials)} trials counts: their display was irregular, or participants failed checks"
        )

    (question,) = questions
    values = _fool_rates if question == "real" else _ranking
    participants = len({answer.participant for answer in answers})
    remaining = len({answer.participant for answer in kept})
    return Results(
        question=question,
        participants=participants,
        trials=len(trials),
        checks=len(checks),
        checks_passed=sum(answer.chosen != TINTED for answer in checks),
        max_failed=max_failed,
        left_out=left_out,
        irregular={mark: number for mark, number in irregular.items() if number},
        models=values(kept),
        all_participants={model: value.value for model, value in values(regular).items()},
        photos=_photo_rates(kept) if question == "real" else {},
        agreement=krippendorff_alpha(_units(kept)),
        left_share=statistics.fmean(answer.choice == "left" for answer in kept),
        median_response=statistics.median(answer.response for answer in kept),
        notes=_notes(remaining, kept, question),
    )


def _inattentive(checks: Sequence[Answer], max_failed: float) -> dict[str, str]:
    failures = defaultdict[str, list[bool]](list)
    for answer in checks:
        failures[answer.participant].append(answer.chosen == TINTED)
    return {
        participant: f"{sum(failed)} of {len(failed)} failed"
        for participant, failed in failures.items()
        if sum(failed) > max_failed * len(failed)
    }


def _notes(participants: int, kept: Sequence[Answer], question: str) -> list[str]:
    notes = []
    if participants == 1:
        notes.append("1 participant: the intervals count photos only, not other people")
    elif participants < FEW:
        notes.append(f"{participants} participants: the intervals are rough; ask more people")
    if question == "better":
        losses = {answer.other for answer in kept if answer.choice != "tie"}
        wins = {answer.chosen for answer in kept if answer.choice != "tie"}
        limit = "its strength is limited only by the half win that each side of a pair is given"
        notes += [f"{model} won every trial: {limit}" for model in sorted(wins - losses)]
        notes += [f"{model} lost every trial: {limit}" for model in sorted(losses - wins)]
    return notes


def _indices(answers: Sequence[Answer], key: Callable[[Answer], str]) -> np.ndarray:
    """Return the number of the participant, photo or model of each answer."""
    return np.unique([key(answer) for answer in answers], return_inverse=True)[1]


def _groups(answers: Sequence[Answer]) -> tuple[np.ndarray, np.ndarray]:
    return _indices(answers, lambda answer: answer.participant), _indices(answers, lambda answer: answer.photo)


def _fool_rates(answers: Sequence[Answer]) -> dict[str, Value]:
    models = sorted({answer.models[0] for answer in answers})
    trials = np.array([[answer.models[0] == model for model in models] for answer in answers], np.float64)
    fooled = trials * np.array([[answer.chosen != TRUTH] for answer in answers])
    intervals = share_intervals(fooled, trials, *_groups(answers))
    return _values(models, intervals, trials.sum(0))


def _ranking(answers: Sequence[Answer]) -> dict[str, Value]:
    models = sorted({answer.left for answer in answers} | {answer.right for answer in answers})
    winners = np.array([models.index(answer.chosen) for answer in answers])
    losers = np.array([models.index(answer.other) for answer in answers])
    ties = np.array([int(answer.choice == "tie") for answer in answers])
    intervals = rank_intervals(winners, losers, ties, len(models), *_groups(answers))
    trials = np.bincount(np.concatenate([winners, losers]), minlength=len(models))
    values = _values(models, intervals, trials)
    return dict(sorted(values.items(), key=lambda item: -item[1].value))


def _values(models: Sequence[str], intervals: np.ndarray, trials: np.ndarray) -> dict[str, Value]:
    values = {}
    for model, (value, low, high), number in zip(models, intervals.tolist(), trials.tolist(), strict=True):
        values[model] = Value(value, low, high, int(number))
    return values


def _photo_rates(answers: Sequence[Answer]) -> dict[str, Value]:
    """Return the fool rate of each photo, over all models, the highest first.

    Each of its answers is by another participant, so they are independent: Wilson's interval.
    """
    choices = defaultdict[str, list[bool]](list)
    for answer in answers:
        choices[answer.photo].append(answer.chosen != TRUTH)
    values = {}
    for photo, fooled in choices.items():
        low, high = wilson_interval(sum(fooled), len(fooled))
        values[photo] = Value(statistics.fmean(fooled), low, high, len(fooled))
    return dict(sorted(values.items(), key=lambda item: (-item[1].value, item[0])))


def _units(answers: Sequence[Answer]) -> list[list[str]]:
    units = defaultdict[tuple[str, ...], list[str]](list)
    for answer in answers:
        choice = "tie" if answer.choice == "tie" else answer.chosen
        units[(answer.photo, *sorted((answer.left, answer.right)))].append(choice)
    return list(units.values())
