"""Weights to start from: of a run, of a bundle with a map of its parameters, and of bundles written before it."""

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
import toy
from onnx import numpy_helper
from safetensors.torch import save_file

from photochrom import models
from photochrom.core.sampling import Diffusion, describe
from photochrom.inference import bundle as bundles
from photochrom.models import ddpm
from photochrom.models._blocks import ColorNet
from photochrom.training import checkpoint
from photochrom.training.bundle_writer import save_bundle
from photochrom.training.graph import HALF, export_network
from photochrom.training.pretrained import blend, initialize, load_weights
from photochrom.training.recipe import parse

BUNDLES = Path(__file__).parents[2] / "photochrom-models"
WITHOUT_MAP = ("coltran", "ddpm", "pix2pix-64")
PUBLISHED = [bundles.DEFAULT, *sorted(BUNDLES.rglob("*.zip"))]


def test_a_run(tmp_path):
    trained, wider = toy.Model(toy.Config()), toy.Adversarial(toy.Config())
    torch.nn.init.constant_(trained.colors.encoder[0].weight, 5.0)
    checkpoint.write(tmp_path / "best.safetensors", {"ema": trained.state_dict()}, {})
    for path in (tmp_path, tmp_path / "best.safetensors"):
        torch.nn.init.zeros_(wider.colors.encoder[0].weight)
        others = load_weights(wider, path)
        assert (wider.colors.encoder[0].weight == 5).all()
        assert {"colors.head.1.weight", "critic.0.weight"} <= set(others)
    unet = models.load_family("unet")
    other = unet(unet.Config(net=ColorNet.Config(depth=1, filters=4)))
    with pytest.raises(ValueError, match="no weight fits this model: start from a run of unet with"):
        load_weights(other, tmp_path)


def test_a_file_from_elsewhere(tmp_path):
    """It names the parameters of the model, or those of its network alone; half precision is read as float32."""
    unet = models.load_family("unet")
    trained, started = (unet(unet.Config(net=ColorNet.Config(depth=1, filters=4))) for _ in range(2))
    for named in (trained, trained.net):
        torch.nn.init.normal_(started.net.head[1].weight)
        halves = {name: tensor.half() for name, tensor in named.state_dict().items()}
        save_file(halves, tmp_path / "weights.safetensors")
        assert load_weights(started, tmp_path / "weights.safetensors") == set()
        torch.testing.assert_close(started.net.head[1].weight, trained.net.head[1].weight.half().float())
    with pytest.raises(ValueError, match="not a checkpoint: it has no record of a run"):
        checkpoint.read(tmp_path / "weights.safetensors")


def test_a_model_of_another_network_is_refused(tmp_path):
    unet = models.load_family("unet")
    trained = unet(unet.Config(net=ColorNet.Config(depth=1, filters=4)))
    save_file(trained.net.state_dict(), tmp_path / "weights.safetensors")
    same = unet(unet.Config(net=ColorNet.Config(depth=1, filters=4)))
    initialize(same, tmp_path / "weights.safetensors")
    deeper = unet(unet.Config(net=ColorNet.Config(depth=4, filters=4)))
    with pytest.raises(ValueError, match=r"fits only \d+ of the \d+ weights of the network colors: start from a model"):
        initialize(deeper, tmp_path / "weights.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_blended_weights_lie_between_those_of_two_models(tmp_path, share):
    unet = models.load_family("unet")
    ours, theirs = (unet(unet.Config(net=ColorNet.Config(depth=1, filters=4))) for _ in range(2))
    before = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    save_file(theirs.net.state_dict(), tmp_path / "weights.safetensors")
    blend(ours, tmp_path / "weights.safetensors", share)
    for name, tensor in ours.state_dict().items():
        if tensor.is_floating_point():
            expected = (1 - share) * before[name] + share * theirs.state_dict()[name]
            torch.testing.assert_close(tensor, expected)
    wider = unet(unet.Config(net=ColorNet.Config(depth=1, filters=5)))
    with pytest.raises(ValueError, match=r"weights.safetensors: has no net\..* that fits: blend weights of the same"):
        blend(wider, tmp_path / "weights.safetensors", share)


def test_a_file_of_one_network_among_several(tmp_path, pytestconfig):
    """It starts the network that most of its tensors fit, and no other; a tie is refused."""
    tiny = tomllib.loads((pytestconfig.rootpath / "recipes" / "tiny" / "coltran.toml").read_text())
    recipe = parse({"model": tiny["model"]})
    trained, started = (models.load_family("coltran")(recipe.model) for _ in range(2))
    before = {name: tensor.clone() for name, tensor in started.state_dict().items()}
    weights = trained.color.state_dict()
    save_file(weights, tmp_path / "color.safetensors")
    others = load_weights(started, tmp_path / "color.safetensors")
    assert others == {name for name in before if not name.startswith("color.")}
    assert all(torch.equal(started.state_dict()[name], before[name]) for name in others)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in started.color.state_dict().items())
    save_file({"head.bias": weights["head.bias"]}, tmp_path / "head.safetensors")
    with pytest.raises(ValueError, match=r"fits color and spatial alike: name .* in full, .*color\.head\.bias"):
        load_weights(started, tmp_path / "head.safetensors")


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier, and a bundle of its network."""
    classify = models.load_family("classify")
    model = classify(classify.Config(net=ColorNet.Config(depth=2, filters=4, widths=(8,))))
    content, parameters = export_network(model.net)
    card = bundles.ModelCard(
        "classifier", "classify", describe(model.procedure), {}, size=32, parameters={"logits": parameters}
    )
    path = tmp_path_factory.mktemp("bundle") / "classifier"
    save_bundle(path, card, {"logits": content})
    return model, path


def test_the_only_network_of_a_bundle(classifier):
    """A network takes the weights of the bundle's only one, whatever its name: a guide, those of a classifier."""
    trained, path = classifier
    model = ddpm.Model(ddpm.Model.Config(guide=trained.config.net, sampling=Diffusion(guided=True)))
    others = load_weights(model, path)
    weights = trained.net.state_dict()
    for name, weight in model.net["guide"].state_dict().items():
        assert torch.equal(weight, weights[name])
    assert all(name.startswith("net.denoiser.") or name.endswith("num_batches_tracked") for name in others)
    with pytest.raises(ValueError, match="no model 'missing'"):
        load_weights(model, Path("missing"))


def test_the_network_of_a_run_of_another_family(classifier, tmp_path):
    """As `--init runs/classify` for a guided diffusion."""
    trained, _ = classifier
    averages = {f"ema.{name}": weight for name, weight in trained.state_dict().items()}
    save_file(averages, tmp_path / "best.safetensors", {"record": "{}"})
    model = ddpm.Model(ddpm.Model.Config(guide=trained.config.net, sampling=Diffusion(guided=True)))
    others = load_weights(model, tmp_path)
    weights = trained.net.state_dict()
    assert all(torch.equal(weight, weights[name]) for name, weight in model.net["guide"].state_dict().items())
    assert all(name.startswith("net.denoiser.") for name in others)


def test_the_map_of_parameters_is_read_instead_of_names(classifier, tmp_path):
    trained, path = classifier
    shutil.copytree(path, tmp_path / "bundle")
    card = json.loads((path / "model.json").read_text())
    parameters = card["parameters"]["logits"]
    first = next(name for name, parameter in parameters.items() if parameter.endswith("weight"))
    dropped = parameters.pop(first)
    (tmp_path / "bundle" / "model.json").write_text(json.dumps(card))
    model = type(trained)(trained.config)
    assert f"net.{dropped}" in load_weights(model, tmp_path / "bundle")


class Folded(toy.Network):
    """A matrix that folding transposes, a norm that it reshapes, and a weight that it multiplies."""

    inputs = {"gray": (1, "h", "w")}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(1, 300)
        self.norm = torch.nn.GroupNorm(1, 300)
        self.scaled = torch.nn.Parameter(torch.rand(300))
        self.exit = torch.nn.Linear(300, 2, bias=False)

    def forward(self, gray):
        x = self.linear(gray.movedim(1, -1)) * (self.scaled * 2)
        return self.exit(self.norm(x.movedim(-1, 1)).movedim(1, -1)).movedim(-1, 1)


def test_parameters_are_found_by_following_names_never_by_comparing_values():
    net = Folded()
    for parameter in (net.norm.weight, net.norm.bias, net.linear.bias, net.scaled):
        torch.nn.init.ones_(parameter)  # equal values
    content, parameters = export_network(net)
    assert sorted(parameters.values()) == [
        "exit.weight.T", "linear.bias", "linear.weight.T", "norm.bias", "norm.weight"
    ]  # fmt: skip
    state = net.state_dict()
    for weight in onnx.load_from_string(content).graph.initializer:
        name = parameters.get(weight.name)
        if name is None:
            continue
        expected = state[name.removesuffix(".T")]
        expected = expected.T if name.endswith(".T") else expected
        np.testing.assert_array_equal(numpy_helper.to_array(weight).squeeze(), expected.squeeze().numpy())


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: Path(path).stem)
def test_every_parameter_of_a_published_bundle_is_found(path):
    """Newer bundles have a map of their parameters; older ones serve by the names in their graphs."""
    bundle = bundles.load(path)
    assert bool(bundle.card.parameters) == (Path(path).stem not in WITHOUT_MAP)
    tables = {name: table for name, table in bundle.card.recipe.items() if name != "stages"}
    recipe = parse(tables)
    model = models.load_family(recipe.family)(recipe.model)
    others = set(load_weights(model, Path(path)))
    names = {module: name for name, module in model.named_modules()}
    for network, net in model.networks().items():
        assert not {f"{names[net]}.{name}" for name, _ in net.named_parameters()} & others
        stored = onnx.load_from_string(bundle.networks[network]).graph.initializer
        shared = {weight.name.removesuffix(HALF): weight for weight in stored}
        for name, parameter in net.named_parameters():
            if name in shared:
                expected = numpy_helper.to_array(shared[name]).astype(np.float32)
                np.testing.assert_array_equal(parameter.detach().numpy().squeeze(), expected.squeeze())


def test_frozen_weights_must_come_from_somewhere():
    cold = models.load_family("cold")
    model = cold(cold.Config())
    with pytest.raises(ValueError, match=r"no --init: \d+ of \d+ frozen weights of this model must come from a run or"):
        initialize(model, None)


def test_network_without_parameters_is_not_frozen():
    """Its buffers are constants."""
    model = toy.Model(toy.Config())
    model.constant = toy.Network()
    model.constant.register_buffer("table", torch.zeros(3))
    assert not model.frozen_weights
