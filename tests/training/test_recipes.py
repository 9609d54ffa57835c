"""The recipes of this repository: sizes that papers state, and what validation costs. Nothing is trained."""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from photochrom import models
from photochrom.models import ddpm
from photochrom.training.loop import SAMPLES
from photochrom.training.optimization import learning_rate
from photochrom.training.recipe import read

RECIPES = Path(__file__).parents[2] / "recipes"
TRAINING = 3  # evaluations that a training step on an image costs: forward, and twice that backward
MOST = 0.07  # share of the cost of training that validation and samples may add


def parameters(name, *sets):
    recipe = read(RECIPES / f"{name}.toml", sets)
    with torch.device("meta"):
        model = models.load_family(recipe.family)(recipe.model)
    return {part: sum(p.numel() for p in model.get_submodule(part).parameters()) for part in model.trainable}


def test_palette_has_the_size_of_the_paper():
    """552 M; its U-Net has two more channels of the condition, and twice as many sines of the noise level."""
    ours = parameters("palette-paper")["net"]
    assert ours == 552_678_403
    assert ours + 2 * 9 * 256 + 128 * 4 * 256 == 552_814_083


@pytest.mark.parametrize(
    ("stage", "millions", "shared"),
    [("core", 46.3, 512 * 512), ("color", 13.5, 0), ("spatial", 10.9, 0)],
)
def test_the_stages_of_coltran_have_the_sizes_of_the_paper(stage, millions, shared):
    """Computed from the configurations of its code, whose core has one color embedding for both decoders."""
    ours = parameters("coltran-paper", f'model.sampling.stages=["{stage}"]')[stage]
    assert round((ours - shared) / 1e6, 1) == millions


def test_pix2pix_has_the_size_of_its_code():
    sizes = {part: round(count / 1e6, 2) for part, count in parameters("pix2pix-paper").items()}
    assert sizes == {"generator": 54.41, "discriminator": 2.77}


@pytest.mark.parametrize(
    ("name", "rates"),
    [("palette-paper", [1, 1, 1, 1]), ("coltran-paper", [1, 1, 1, 1]), ("pix2pix-paper", [1, 1, 0.5, 0])],
)
def test_learning_rates_are_those_of_the_papers(name, rates):
    settings = read(RECIPES / f"{name}.toml").optimizer
    shares = [learning_rate(20_000, progress, settings) / settings.lr for progress in (0.1, 0.5, 0.75, 1)]
    assert shares == pytest.approx(rates)
    assert not settings.clip


def evaluations(procedure):
    """How often a procedure evaluates its network for an image; all pixels of ColTran together cost one pass."""
    if not procedure.capabilities.iterative:
        return 1
    calls = Counter()

    def network(name, **inputs):
        calls[name] += 1
        return next(iter(inputs.values())) * 0

    nets = {name: partial(network, name) for name in procedure.capabilities.network_names}
    gray = np.zeros((1, 1, 8, 8), np.float32)
    *_, _ = procedure.trajectory(nets, gray, np.zeros_like)
    return max(calls.values())


def test_evaluations_are_counted():
    assert evaluations(read(RECIPES / "palette-paper.toml").model.sampling) == 1000
    assert evaluations(read(RECIPES / "cold-pixels.toml").model.sampling) == 50
    assert evaluations(read(RECIPES / "cold.toml").model.sampling) == 1  # one-shot


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*.toml")), ids=lambda path: path.stem)
def test_validation_costs_a_small_share_of_training(path):
    recipe = read(path)
    sampling = getattr(recipe.model, "sampling", None)  # families that only ever take one pass have none
    settings, steps = recipe.trainer, evaluations(sampling) if sampling else 1
    bound = ddpm.LEVELS_PER_IMAGE + 1 if recipe.family == "ddpm" else 0  # bits per dimension
    validation = settings.validate_photos * (steps + 1 + bound) / settings.validate_every
    samples = SAMPLES * steps / settings.sample_every
    assert (validation + samples) / (TRAINING * settings.batch) <= MOST
