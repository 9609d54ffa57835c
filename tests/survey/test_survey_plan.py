"""Trials are balanced over photos, models and sides, and nobody sees a photo twice."""

from collections import Counter

import pytest

from photochrom.survey.plan import TINTED, TRUTH, plan_trials, source_pairs

PHOTOS = [f"photo {index}" for index in range(30)]
MODELS = ["a", "b", "c"]


def plans(number=20, participants=60, photos=PHOTOS, seed=0, rank=False):
    pairs = source_pairs(MODELS, truth=not rank, rank=rank)
    return [plan_trials(photos, pairs, number, participant, seed) for participant in range(participants)]


def test_pairs():
    assert source_pairs(MODELS, truth=True, rank=False) == [(TRUTH, "a"), (TRUTH, "b"), (TRUTH, "c")]
    assert source_pairs(MODELS, truth=False, rank=True) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert len(source_pairs(MODELS, truth=True, rank=True)) == 6


@pytest.mark.parametrize("number", [2, 11, 20, 29])
def test_nobody_sees_a_photo_twice(number):
    for plan in plans(number):
        assert len(plan) == number + 1
        assert len({trial.photo for trial in plan}) == number + 1
        assert [trial.kind for trial in plan].count("practice") == 1
        assert plan[0].kind == "practice"


def test_one_in_ten_trials_is_an_attention_check():
    for plan in plans(20):
        checks = [trial for trial in plan if trial.kind == "check"]
        assert len(checks) == 2
        assert all({trial.left, trial.right} == {TRUTH, TINTED} for trial in (plan[0], *checks))
        assert all(TINTED not in (trial.left, trial.right) for trial in plan if trial.kind == "trial")
    places = Counter(index for plan in plans(20) for index, trial in enumerate(plan) if trial.kind == "check")
    assert len(places) > 15  # anywhere


@pytest.mark.parametrize("rank", [False, True])
def test_photos_and_models_are_balanced(rank):
    trials = [trial for plan in plans(rank=rank, participants=60) for trial in plan if trial.kind == "trial"]
    shown = Counter((trial.photo, *sorted((trial.left, trial.right))) for trial in trials)
    assert len(shown) == len(PHOTOS) * 3
    assert set(shown.values()) == {60 * 18 // 90}
    for plan in plans(rank=rank):
        models = Counter(frozenset((trial.left, trial.right)) for trial in plan if trial.kind == "trial")
        assert max(models.values()) - min(models.values()) <= 2


def test_sides_are_balanced():
    for plan in plans(19):
        truth = sum(trial.left == TRUTH for trial in plan)
        assert truth == 10
    assert len({plan[5].left == TRUTH for plan in plans()}) == 2


def test_trials_depend_on_the_seed_and_the_participant_alone():
    assert plans() == plans()
    first, other = plans(seed=0), plans(seed=1)
    assert first[0] != other[0]
    assert first[0] != first[1]
