"""From a run to a bundle: settled by other settings, portable, and refused where it would not be true."""

import json

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from photochrom.inference import bundle as bundles
from photochrom.training import export as exporting
from photochrom.training.export import ExportError, export
from photochrom.training.loop import train
from photochrom.training.recipe import read


@pytest.fixture(scope="module")
def run(tmp_path_factory, pytestconfig):
    import pyvips

    folder = tmp_path_factory.mktemp("export")
    rng = np.random.default_rng(0)
    for i in range(6):
        pixels = np.kron(rng.integers(0, 256, (3, 3, 3)), np.ones((16, 16, 1))).astype(np.uint8)
        (folder / "photos").mkdir(exist_ok=True)
        pyvips.Image.new_from_array(pixels).write_to_file(str(folder / "photos" / f"{i}.png"))
    recipe = read(
        pytestconfig.rootpath / "recipes/tiny/classify.toml",
        ["trainer.steps=2", "data.validation=0.0"],
        [folder / "photos"],
    )
    return train(recipe, folder / "run")


@pytest.fixture(scope="module")
def exported(run):
    out = run.parent / "small"
    card = export(run, out, ["model.temperature=0.2"], size=64, sources="six squares", summary="patches")
    return out, card


def test_the_card_says_what_was_asked_and_what_was_done(exported):
    path, card = exported
    opened = bundles.load(path)
    assert opened.card == card
    assert (card.name, card.family, card.size, card.summary) == ("small", "classify", 64, "patches")
    assert opened.procedure.temperature == 0.2
    assert card.multiple == 4
    assert card.data["training"] == 6
    assert card.data["sources"] == "six squares"


def test_no_folder_of_the_machine_is_in_it(exported, tmp_path_factory):
    text = (exported[0] / "model.json").read_text()
    assert json.loads(text)["recipe"]["data"]["photos"] == ["photos"]
    assert str(tmp_path_factory.getbasetemp()) not in text
    assert b".py" not in (exported[0] / "logits.onnx").read_bytes()


def test_larger_weights_are_half_size(exported):
    graph = onnx.load(str(exported[0] / "logits.onnx")).graph
    kinds = {
        onnx.numpy_helper.to_array(w).dtype for w in graph.initializer if np.prod(w.dims) >= exporting.WORTH_HALVING
    }
    assert kinds == {np.dtype(np.float16)}


def test_settings_that_need_other_weights_are_refused(run, tmp_path):
    with pytest.raises(ValueError, match="needs other weights"):
        export(run, tmp_path / "other", ["model.net.filters=6"])
    assert not (tmp_path / "other").exists()


def test_a_bundle_is_never_written_over(run, exported):
    with pytest.raises(FileExistsError, match="name another folder"):
        export(run, exported[0])


def test_a_network_that_onnx_computes_otherwise_is_refused():
    class Fickle(nn.Module):
        """Computes one thing where it was traced and another where it is checked."""

        inputs = {"gray": (1, "h", "w")}  # noqa: RUF012

        def forward(self, gray):
            return gray * 2

    net = Fickle()
    content = exporting.halve_weights(exporting.trace(net))
    exporting.check(net, content)
    net.forward = lambda gray: gray * 2.1
    with pytest.raises(ExportError, match="ONNX and torch differ by"):
        exporting.check(net, content)


@pytest.mark.parametrize(("places", "fits"), [(1, True), (6, False)])
def test_a_network_that_chooses_may_choose_otherwise_at_a_few_places(places, fits):
    class Chooser(nn.Module):
        inputs = {"gray": (1, "h", "w")}  # noqa: RUF012
        discrete_output = False

        def forward(self, gray):
            return gray * 2

    net = Chooser()
    content = exporting.halve_weights(exporting.trace(net))
    net.forward = lambda gray: torch.cat([gray[..., :1] * 2 + 1] * places + [gray[..., places:] * 2], -1)
    with pytest.raises(ExportError):
        exporting.check(net, content)
    net.discrete_output = True
    if fits:
        exporting.check(net, content)
    else:
        with pytest.raises(ExportError):
            exporting.check(net, content)


def test_weights_are_rounded_once():
    net = nn.Conv2d(1, 300, 1)
    exporting.halve(net)
    assert torch.equal(net.weight.data.half().float(), net.weight.data)
    assert torch.equal(net.bias.data.half().float(), net.bias.data)
