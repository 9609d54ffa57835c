"""The rows of an evaluation: which options of the command each model gets."""

import pytest

from photochrom.core.sampling import Autoregressive, Cold, Diffusion, Direct
from photochrom.evaluation.run import _without_folders, applicable_options


@pytest.mark.parametrize(
    ("procedure", "applicable"),
    [
        (Direct(), {}),
        (Diffusion(), {"steps": 5, "eta": 0.5}),
        (Cold(), {"steps": 5}),
        (Cold(solver="one-shot"), {}),
        (Autoregressive(), {"temperature": 2.0}),
        (Autoregressive(solver="greedy"), {}),
    ],
)
def test_options_that_do_not_apply_are_left_out(procedure, applicable):
    assert applicable_options(procedure, {"steps": 5, "eta": 0.5, "temperature": 2.0}) == applicable


@pytest.mark.parametrize("procedure", [Direct(), Diffusion(), Cold()])
def test_a_solver_of_other_models_does_not_apply(procedure):
    assert "solver" not in applicable_options(procedure, {"solver": "greedy", "steps": 5})


def test_the_solver_among_the_options_decides_which_others_apply():
    options = {"solver": "greedy", "temperature": 2.0}
    assert applicable_options(Autoregressive(), options) == {"solver": "greedy"}
    sample = applicable_options(Autoregressive(solver="greedy"), {**options, "solver": "sample"})
    assert sample["temperature"] == 2.0


@pytest.mark.parametrize(
    ("command", "published"),
    [
        ("photochrom evaluate --data photos --model hf://owner/name", None),
        ("photochrom evaluate --data photos.zip/faces --model runs/mine", None),
        ("photochrom evaluate --data=/home/anna/test.zip", "photochrom evaluate --data=test.zip"),
        ("photochrom evaluate --data '/home/anna/my photos'", "photochrom evaluate --data 'my photos'"),
        ("photochrom evaluate --data ../anna/p", "photochrom evaluate --data p"),
    ],
)
def test_a_published_command_has_no_folders_of_the_machine(command, published):
    assert _without_folders(command) == (published or command)
