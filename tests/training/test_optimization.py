import pytest
import toy

from photochrom.training.optimization import learning_rate, parameter_groups
from photochrom.training.recipe import Optimizer


def test_learning_rate():
    settings = Optimizer(lr=2.0, warmup_steps=9)
    rates = [learning_rate(step, step / 1000, settings) for step in range(1001)]
    assert rates[:3] == pytest.approx([0.2, 0.4, 0.6], rel=1e-3)
    assert max(rates) == pytest.approx(2.0, rel=1e-3)
    assert rates[500] == pytest.approx(1.0)
    assert rates[1000] == 0
    assert rates[9:] == sorted(rates[9:], reverse=True)


@pytest.mark.parametrize(
    ("schedule", "rates"), [("constant", [2, 2, 2]), ("linear", [2, 1.5, 0]), ("cosine", [2, 1.7071, 0])]
)
def test_schedules(schedule, rates):
    settings = Optimizer(lr=2.0, warmup_steps=0, schedule=schedule)
    assert [learning_rate(5, progress, settings) for progress in (0, 0.25, 1)] == pytest.approx(rates, abs=1e-4)


def test_a_rate_can_be_held_before_it_falls():
    """pix2pix: constant for the first half of the training, then linear to zero."""
    settings = Optimizer(lr=2.0, warmup_steps=0, schedule="linear", hold=0.5)
    assert [learning_rate(5, progress, settings) for progress in (0, 0.5, 0.75, 1)] == [2, 2, 1, 0]


def test_learning_rate_and_weight_decay_by_parameter():
    groups = parameter_groups(toy.Model(toy.Config()), "colors", Optimizer(weight_decay=0.1))
    counts = {(g["rate"], g["weight_decay"]): len(g["params"]) for g in groups}
    assert counts == {(0.5, 0.1): 1, (0.5, 0.0): 3, (1.0, 0.1): 1, (1.0, 0.0): 1}
