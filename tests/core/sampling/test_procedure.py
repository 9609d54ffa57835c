"""The contract of procedures: declared capabilities, options and color hints."""

import numpy as np
import pytest
import torch

from photochrom.core.sampling import PROCEDURES, AnnealedMean, Autoregressive, Cold, Diffusion, Direct
from photochrom.core.sampling.procedure import HintMap, Procedure

RANDOM = np.random.default_rng(0)
GRAY = RANDOM.uniform(-1, 1, (2, 1, 8, 12)).astype(np.float32)
AB = RANDOM.uniform(-0.5, 0.5, (2, 2, 8, 12)).astype(np.float32)
RGB = RANDOM.uniform(-1, 1, (2, 3, 8, 12)).astype(np.float32)
LOGITS = RANDOM.normal(0, 4, (2, 262, 8, 12)).astype(np.float32)


class OneHint:
    """A hint of full weight in one pixel, of half weight to its right, in arrays of the given library."""

    def __init__(self, to_array=np.asarray):
        self.to_array = to_array

    def at(self, height, width):
        weight = np.zeros((1, 1, height, width), np.float32)
        weight[..., 2, 3:5] = [1, 0.5]
        return HintMap(
            self.to_array(weight * np.array([0.4, -0.2], np.float32).reshape(1, 2, 1, 1)), self.to_array(weight)
        )


@pytest.mark.parametrize("cls", PROCEDURES.values(), ids=PROCEDURES)
def test_a_capability_is_declared_where_its_method_is_defined(cls):
    procedure = cls()
    assert procedure.capabilities.iterative == (cls.trajectory is not Procedure.trajectory)
    assert procedure.capabilities.has_likelihood == (cls.nll is not Procedure.nll)
    assert not procedure.capabilities.restores or cls.restore is not Procedure.restore
    assert procedure.target in ("ab", "rgb")
    assert all(hasattr(procedure, name) for name in procedure.option_names())
    procedure.check_size(64, 64)


def test_a_hint_map_blends_by_its_weight():
    blended = OneHint().at(8, 12).blend(AB)
    np.testing.assert_allclose(blended[:, :, 2, 3], [[0.4, -0.2]] * 2)
    np.testing.assert_allclose(blended[:, :, 2, 4], AB[:, :, 2, 4] / 2 + [[0.2, -0.1]], atol=1e-6)
    np.testing.assert_array_equal(blended[:, :, 3:], AB[:, :, 3:])


@pytest.mark.parametrize(
    ("procedure", "outputs"),
    [
        (Direct(), {"colors": AB}),
        (Direct("rgb"), {"colors": RGB}),
        (AnnealedMean(), {"logits": LOGITS}),
        (Diffusion(steps=3), {"denoiser": AB}),
        (Diffusion("rgb", steps=3), {"denoiser": RGB}),
        (Cold(steps=3), {"restorer": RGB}),
    ],
)
def test_every_procedure_meets_hints_in_numpy_and_torch(procedure, outputs):
    def run(to_array, hints):
        nets = {name: lambda out=out, **inputs: to_array(out) for name, out in outputs.items()}
        return np.asarray(procedure(nets, to_array(GRAY), lambda like: like, hints))

    hinted = run(np.asarray, OneHint())
    np.testing.assert_allclose(hinted[:, :, 2, 3], [[0.4, -0.2]] * 2, atol=1e-6)
    np.testing.assert_allclose(hinted, run(torch.from_numpy, OneHint(torch.from_numpy)), atol=1e-4)
    assert abs(hinted - run(np.asarray, None)).max() > 0.01


@pytest.mark.parametrize(
    ("procedure", "options", "sentence"),
    [
        (Direct(), {"steps": 5}, "steps: not supported, because this model has no sampler options"),
        (
            Diffusion(),
            {"pace": 1},
            "pace: not supported by this model or its solver; supported options: steps, solver, eta",
        ),
        (Diffusion(), {"prediction": "noise"}, "prediction: not supported by this model"),
        (Diffusion(), {"steps": 1001}, "1001 steps: the noise schedule has 1000, choose from 1 to 1000"),
        (Diffusion(), {"solver": "euler"}, "solver 'euler': choose one of ancestral, ddim, dpm-solver"),
        (
            Cold(),
            {"solver": "one-shot", "steps": 5},
            "steps: not supported by this model or its solver; supported options: solver",
        ),
        (Cold(), {"eta": 0.5}, "eta: not supported by this model or its solver; supported options: steps, solver"),
        (
            Autoregressive(),
            {"steps": 5},
            "steps: not supported by this model or its solver; supported options: solver, temperature",
        ),
        (
            Autoregressive(),
            {"solver": "greedy", "temperature": 0.5},
            "temperature: not supported by this model or its solver; supported options: solver",
        ),
    ],
)
def test_an_option_that_a_procedure_does_not_support_is_explained(procedure, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        procedure.with_options(**options)


def test_options_change_a_copy():
    procedure = Diffusion()
    changed = procedure.with_options(steps=5, solver="ancestral")
    assert (changed.steps, changed.solver, procedure.steps) == (5, "ancestral", 20)
    assert procedure.with_options() == procedure
    assert Autoregressive(solver="greedy").with_options(solver="sample", temperature=0.5).temperature == 0.5
