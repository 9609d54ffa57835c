"""Cold diffusion in the latent of an autoencoder: trained on one, joined with it, used like any other model."""

import json
import shutil

import numpy as np
import pytest
import torch

from photochrom import models
from photochrom.core.degradation import DEGRADATIONS
from photochrom.core.sampling import describe
from photochrom.core.sampling.cold import Cold
from photochrom.imaging.photo import open_photo
from photochrom.inference.bundle import BundleError, ModelCard
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.restorer import Restorer
from photochrom.models.cold import Mlp
from photochrom.training.bundle_writer import save_bundle
from photochrom.training.checkpoint import load
from photochrom.training.export import export
from photochrom.training.graph import export_network
from photochrom.training.loop import train
from photochrom.training.recipe import parse
from photochrom.training.validation import restore, torch_nets

NET = {"hidden": [8, 8], "residual": 1, "codes": 16, "dim": 4}
UNET = {"channels": 8, "multipliers": [1, 2], "blocks": 1, "resolution": 8, "attention": [4], "head": 8}


@pytest.fixture(scope="module")
def recipe(archive):
    """A recipe of toy size, on 24 px."""

    def make(model, steps=2, **data):
        return parse(
            {
                "model": model,
                "data": {"photos": [str(archive)], "size": 24, "gray": "mean", "workers": 0, "validation": 0.25} | data,
                "optimizer": {"lr": 0.01, "warmup_steps": 2, "ema": 0.9},
                "trainer": {"steps": steps, "batch": 4, "accelerator": "cpu", "validate_every": steps},
            }
        )

    return make


def latent(**settings):
    return {"family": "cold", "net": UNET, "autoencoder": NET, "sampling": {"latent": True, "steps": 5}, **settings}


def pixels(degradation, **settings):
    sampling = {"degradation": degradation, "levels": 4, "steps": 4, **settings}
    return {"family": "cold", "net": UNET | {"attention": []}, "sampling": sampling}


@pytest.fixture(scope="module")
def autoencoder(recipe, tmp_path_factory):
    """A run of a VQ-VAE."""
    return train(recipe({"family": "vqvae", "net": NET}, 12), tmp_path_factory.mktemp("vqvae") / "run")


@pytest.fixture(scope="module")
def autoencoder_bundle(autoencoder):
    export([autoencoder], autoencoder.parent / "codes")
    return autoencoder.parent / "codes"


@pytest.fixture(scope="module")
def latent_run(autoencoder, recipe):
    return train(recipe(latent()), autoencoder.parent / "latent", init=autoencoder)


@pytest.fixture(scope="module")
def latent_bundle(latent_run):
    export([latent_run], latent_run.parent / "cold")
    return latent_run.parent / "cold"


@pytest.fixture(scope="module")
def degradation_bundle(recipe, tmp_path_factory):
    """A function that returns a bundle for a degradation; all share one exported network, the slow part of it."""
    folder = tmp_path_factory.mktemp("degradations")
    networks = []

    def get(name):
        path = folder / name
        if path.exists():
            return path
        torch.manual_seed(0)
        model = models.load_family("cold")(recipe(pixels(name)).model)
        if not networks:
            networks.append(export_network(model.networks()["restorer"])[0])
        card = ModelCard(
            name, "cold", describe(model.procedure), {}, size=24, gray="mean", multiple=model.size_multiple
        )
        save_bundle(path, card, {"restorer": networks[0]})
        return path

    return get


def test_the_autoencoder_is_frozen_and_all_of_it_is_in_the_bundle(autoencoder, latent_run, latent_bundle):
    before, after = (load(run)[0].state_dict() for run in (autoencoder, latent_run))
    assert all(torch.equal(before[name], after[name]) for name in before)
    photo = np.random.default_rng(0).integers(60, 190, (37, 53), np.uint8)
    for solver in Cold.solvers:
        image = Colorizer(latent_bundle, solver=solver)(photo)
        assert (image.max(-1) != image.min(-1)).any()
    gray = Colorizer(latent_bundle).prepare(open_photo(photo)).gray
    assert len(Colorizer(latent_bundle).trajectory(gray)) == 6


def test_a_bundle_of_the_autoencoder_serves_as_init(autoencoder, autoencoder_bundle, recipe, tmp_path):
    run = train(recipe(latent(), 1), tmp_path / "run", init=autoencoder_bundle)
    before, after = (load(each)[0].state_dict() for each in (autoencoder, run))
    name = "net.encoder.books.0.vectors"
    np.testing.assert_allclose(after[name], before[name], atol=1e-3)


@pytest.mark.parametrize("other", [None, {**NET, "dim": 2}, {**NET, "residual": 2}])
def test_without_the_right_autoencoder_nothing_is_trained(other, autoencoder, recipe, tmp_path):
    model = latent(autoencoder=other or NET)
    message = "must come from a run or bundle of the family vqvae: name one with the same settings with --init"
    with pytest.raises(ValueError, match=message):
        train(recipe(model), tmp_path / "run", init=autoencoder if other else None)
    assert not (tmp_path / "run").exists()


def test_only_the_mean_of_the_channels_is_a_possible_gray(autoencoder, recipe, tmp_path):
    with pytest.raises(ValueError, match=r"data.gray = 'lab': this family works on 'mean'"):
        train(recipe(latent(), gray="lab"), tmp_path / "run", init=autoencoder)


def test_a_fully_connected_restorer_works_with_one_size_only(autoencoder, recipe, tmp_path):
    settings = {"restorer": "mlp", "mlp": {"layers": 2, "width": 8}, "side": 24}
    with pytest.raises(ValueError, match=r"data.size = 32: this model works only with 24 pixels: choose that"):
        train(recipe(latent(**settings), size=32), tmp_path / "run", init=autoencoder)
    with pytest.raises(ValueError, match="side 25: must divide by 4"):
        recipe(latent(**settings | {"side": 25}))
    export([train(recipe(latent(**settings)), tmp_path / "run", init=autoencoder)], tmp_path / "square")
    colorizer = Colorizer(tmp_path / "square")
    assert colorizer.prepare(open_photo(np.full((30, 90), 99, np.uint8))).gray.shape == (1, 24, 24)
    assert colorizer(np.full((30, 90), 99, np.uint8)).shape == (30, 90, 3)
    with pytest.raises(ValueError, match="size 48: this model works only with images of 24 pixels"):
        export([tmp_path / "run"], tmp_path / "larger", size=48)
    with pytest.raises(ValueError, match="size 48: square supports only 24 x 24 pixels"):
        colorizer(np.full((30, 90), 99, np.uint8), size=48)


def test_the_restorer_of_the_seed_document_has_its_537_million_weights():
    with torch.device("meta"):
        net = Mlp(Mlp.Config(), 32, 16)
    assert sum(p.numel() for p in net.parameters() if p.ndim > 1) == 536_870_912
    assert sum(p.numel() for p in net.parameters()) == 536_936_448


def test_a_fully_connected_restorer_takes_an_odd_count_of_numbers():
    state = torch.rand(2, 3, 5, 5)
    assert Mlp(Mlp.Config(layers=1), 3, 5)(state, None, torch.rand(2)).shape == state.shape


def test_a_bundle_restores_what_the_run_restores(recipe, tmp_path, autoencoder_bundle):
    settings = {"net": UNET | {"resolution": 24, "attention": []}, "sampling": {"degradation": "mask", "steps": 5}}
    run = train(recipe({"family": "cold", **settings}, 8), tmp_path / "run")
    export([run], tmp_path / "mask")
    photo = np.random.default_rng(0).integers(60, 190, (48, 72, 3), np.uint8)
    restorer = Restorer(tmp_path / "mask")
    degraded, noise = restorer.degrade(photo, seed=1)
    assert degraded.shape == (24, 36, 3)
    assert (degraded == 128).all(-1).mean() > 0.05
    restored = restorer(degraded, noise)
    assert restored.shape == degraded.shape
    assert (restored != degraded).any()
    model = load(run)[0]
    start = torch.from_numpy(degraded.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1)
    *_, expected = model.procedure.restore(torch_nets(model), start, torch.from_numpy(noise))
    np.testing.assert_allclose(restored, (expected[0].permute(1, 2, 0).clamp(-1, 1).numpy() + 1) * 127.5, atol=0.6)
    with pytest.raises(ValueError, match="mask: the solver improved needs the noise of the degradation"):
        restorer(degraded)
    assert Restorer(tmp_path / "mask", solver="one-shot")(degraded, size=32).shape == (32, 48, 3)
    with pytest.raises(BundleError, match=r"does not colorize \(cold mask\)"):
        Colorizer(tmp_path / "mask")
    reconstruction = Restorer(autoencoder_bundle)
    assert reconstruction(reconstruction.degrade(photo)[0]).shape == (24, 36, 3)
    with pytest.raises(BundleError, match=r"unet: unet does not restore photos"):
        Restorer("unet")


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_a_perfect_network_restores_an_image_of_8_bits(degradation, degradation_bundle):
    """With a network that knows the image, whatever the degradation and the solver."""
    path = degradation_bundle(degradation)
    photo = np.random.default_rng(0).integers(60, 190, (48, 63, 3), np.uint8)  # whose sides divide by nothing
    for solver in Cold.solvers:
        restorer = Restorer(path, solver=solver)
        degraded, noise = restorer.degrade(photo)
        clean = open_photo(photo).resize(24, restorer.card.multiple)
        restorer.nets = {"restorer": lambda t, state, clean=clean: clean[None] * 2 - 1}
        np.testing.assert_allclose(restorer(degraded, noise), clean.transpose(1, 2, 0) * 255, atol=2, err_msg=solver)


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_every_degradation_can_be_trained(degradation, recipe, tmp_path):
    run = train(recipe(pixels(degradation), 1), tmp_path / "run")
    assert load(run)[0].procedure == recipe(pixels(degradation)).model.sampling


def test_noise_of_another_shape_is_refused(degradation_bundle):
    restorer = Restorer(degradation_bundle("snow"))
    degraded, noise = restorer.degrade(np.full((48, 48, 3), 99, np.uint8))
    for wrong, size in ((noise, 48), (noise[0], None), ([0.5, 0.5], None)):
        with pytest.raises(ValueError, match=r"noise of shape \(.*: must be \(1, 1,"):
            restorer(degraded, wrong, size)


def test_pixelation_needs_sides_of_whole_blocks(recipe, tmp_path):
    sampling = {"degradation": "pixelation", "levels": 4, "steps": 4}
    with pytest.raises(ValueError, match=r"data.size = 36: must divide by 8 for this model"):
        train(recipe({"family": "cold", "net": UNET, "sampling": sampling}, size=36), tmp_path / "run")


def test_the_solver_one_shot_takes_no_steps(latent_bundle, recipe, tmp_path):
    shutil.copytree(latent_bundle, tmp_path / "cold")
    card = json.loads((tmp_path / "cold" / "model.json").read_text())
    model = recipe(latent(sampling={"latent": True, "solver": "one-shot"})).model
    card["procedure"] = describe(model.sampling)  # as the run of such a recipe has it; the networks are the same
    (tmp_path / "cold" / "model.json").write_text(json.dumps(card))
    with pytest.raises(ValueError, match="steps: not supported by this model or its solver; supported options: solver"):
        Colorizer(tmp_path / "cold", steps=5)
    assert Colorizer(tmp_path / "cold", steps=5, solver="improved").procedure.steps == 5


def test_the_loss_has_the_same_scale_before_and_after_training(recipe):
    model = models.load_family("cold")(recipe(latent()).model)
    color = torch.rand(2, 3, 24, 24) * 2 - 1
    losses = []
    for training in (False, True, False):
        torch.manual_seed(0)
        losses.append(model.train(training).loss("net", color[:, :1], color)["total"].item())
    assert losses[0] == losses[2] > 0


@pytest.mark.parametrize("degradation", DEGRADATIONS)
def test_every_degradation_is_learned_in_pixels(degradation, recipe):
    """A network that saw one image at every step of the degradation restores most of it."""
    config = recipe(pixels(degradation) | {"net": UNET | {"resolution": 24, "attention": []}, "power": 2}).model
    torch.manual_seed(0)
    model = models.load_family("cold")(config)
    color = torch.nn.functional.interpolate(torch.rand(1, 3, 3, 3) * 2 - 1, size=(24, 24), mode="bicubic").clip(-1, 1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss("net", color[:, :1], color.expand(4, -1, -1, -1))["total"].backward()
        optimizer.step()
    degraded, restored = restore(model.eval(), color.mean(1, keepdim=True), color, seed=1)
    assert (restored - color).abs().mean() < 0.6 * (degraded - color).abs().mean()
