"""The contract of `photochrom.models.family`, tested for every family that is discovered."""

import numpy as np
import pytest
import torch

from photochrom import models
from photochrom.core.color import AB_SCALE, L_SCALE, lab_to_rgb
from photochrom.core.sampling import describe
from photochrom.inference.bundle import BundleError, ModelCard, load
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.onnx import OnnxNet, SeededNoise
from photochrom.models.family import Family, Network
from photochrom.training.bundle_writer import save_bundle
from photochrom.training.graph import export_network
from photochrom.training.pretrained import load_weights
from photochrom.training.recipe import read
from photochrom.training.validation import torch_nets

SIDE = 32


@pytest.fixture(params=models.family_names(), scope="module")
def recipe(request, pytestconfig):
    return read(pytestconfig.rootpath / "recipes" / "tiny" / f"{request.param}.toml")


@pytest.fixture
def model(recipe):
    torch.manual_seed(0)
    return models.load_family(recipe.family)(recipe.model)


@pytest.fixture(scope="module")
def exported(recipe, tmp_path_factory):
    """A model and its bundle; noise on the weights, because some layers give zero before training."""
    torch.manual_seed(0)
    model = models.load_family(recipe.family)(recipe.model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    path = tmp_path_factory.mktemp("bundles") / recipe.family
    networks = {name: export_network(net) for name, net in model.networks().items()}
    parameters = {name: parameters for name, (_, parameters) in networks.items()}
    card = ModelCard(recipe.family, recipe.family, describe(model.procedure), {}, size=SIDE, parameters=parameters)
    save_bundle(path, card, {name: content for name, (content, _) in networks.items()})
    return model, path


def batch(target):
    """Four images whose color follows from their gray."""
    small = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    gray = torch.nn.functional.interpolate(small, size=(SIDE, SIDE)) * 2 - 1
    ab = torch.cat([gray * 0.4, -gray * 0.3], 1)
    if target == "ab":
        return gray, ab
    return gray, lab_to_rgb(torch.cat([(gray + 1) * L_SCALE, ab * AB_SCALE], 1)) * 2 - 1


def test_members_are_complete(model):
    assert isinstance(model, Family)
    assert model.trainable
    assert all(any(True for _ in model.get_submodule(part).parameters()) for part in model.trainable)
    assert all(isinstance(net, Network) for net in model.networks().values())
    assert set(model.networks()) == set(model.procedure.capabilities.network_names)
    sizes = [size for net in model.networks().values() for dims in net.inputs.values() for size in dims]
    assert all(isinstance(size, int) or size in ("h", "w") for size in sizes)
    assert model.procedure.target in ("ab", "rgb")


def test_loss_falls_on_a_batch(model):
    gray, color = batch(model.procedure.target)
    optimizers = {p: torch.optim.Adam(model.get_submodule(p).parameters(), 1e-2) for p in model.trainable}

    def loss():
        """The mean over the same random numbers at every call."""
        totals = []
        for seed in range(8):
            torch.manual_seed(seed)
            totals += [model.loss(part, gray, color)["total"].item() for part in model.trainable]
        return np.mean(totals)

    before = loss()
    for step in range(80):
        torch.manual_seed(100 + step)
        for part, optimizer in optimizers.items():
            optimizer.zero_grad()
            model.loss(part, gray, color)["total"].backward()
            optimizer.step()
    assert loss() < 0.7 * before


def test_every_parameter_has_a_gradient(model):
    gray, color = batch(model.procedure.target)
    for part in model.trainable:
        model.zero_grad()
        model.loss(part, gray, color)["total"].backward()
        parameters = dict(model.get_submodule(part).named_parameters())
        missing = [n for n, p in parameters.items() if p.requires_grad and (p.grad is None or not p.grad.any())]
        assert not missing


def test_loss_is_finite_in_half_precision(model):
    """As with trainer.precision = "bf16-mixed"."""
    gray, color = batch(model.procedure.target)
    for part in model.trainable:
        with torch.autocast("cpu", torch.bfloat16):
            loss = model.loss(part, gray, color)["total"]
        loss.backward()
        assert loss.isfinite()


def test_bundle_agrees_with_torch(exported):
    """The same procedure and noise, at a size and batch that were not traced."""
    model, path = exported
    gray = np.random.default_rng(2).uniform(-1, 1, (3, 1, 64, 96)).astype(np.float32)
    bundle = load(path)
    nets = {name: OnnxNet(content, 1) for name, content in bundle.networks.items()}
    result = bundle.procedure(nets, gray, SeededNoise([7, 8, 9]))
    noise = SeededNoise([7, 8, 9])
    expected = model.procedure(
        torch_nets(model), torch.from_numpy(gray), lambda like, *kind: torch.from_numpy(noise(like.numpy(), *kind))
    )
    assert result.dtype == np.float32
    discrete_output = any(net.discrete_output for net in model.networks().values())
    assert (
        np.mean(abs(result - expected.numpy()) > 1e-4) <= 0.001 * discrete_output
    )  # two choices may be as near as rounding


def test_init_from_a_bundle_restores_every_weight(exported, model):
    trained, path = exported
    load_weights(model, path)
    for network, net in model.networks().items():
        for (name, result), expected in zip(
            net.named_parameters(), trained.networks()[network].parameters(), strict=True
        ):
            np.testing.assert_allclose(result.detach(), expected.detach(), rtol=1e-3, atol=1e-6, err_msg=name)


@pytest.fixture
def colorizer(exported):
    """A colorizer of a family that colorizes; other families are rejected."""
    if exported[0].procedure.capabilities.colorizes:
        return Colorizer(exported[1])
    with pytest.raises(BundleError, match="does not colorize"):
        Colorizer(exported[1])
    pytest.skip("does not colorize")


def test_no_image_depends_on_its_batch(colorizer):
    grays = list(np.random.default_rng(3).uniform(-1, 1, (3, 1, 32, 32)).astype(np.float32))
    together = colorizer.predict([*grays, grays[0][:, :, :32].repeat(2, 2)], seeds=5)
    for gray, ab in zip(grays, together, strict=False):
        np.testing.assert_allclose(colorizer.predict([gray], seeds=5)[0], ab, atol=1e-5)


def test_image_of_any_size_is_colorized(colorizer):
    photo = np.random.default_rng(0).integers(60, 190, (37, 53), np.uint8)
    colorized = colorizer(photo)
    assert colorized.shape == (37, 53, 3)
    assert colorized.dtype == np.uint8
    assert (colorized.max(-1) != colorized.min(-1)).any()
