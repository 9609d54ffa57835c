"""Cold diffusion in the latent of an autoencoder: trained on one, joined with it, used like any other model."""

import numpy as np
import pytest
import torch

from photochrom import models
from photochrom.core.degradation import DEGRADATIONS
from photochrom.core.sampling.cold import SOLVERS
from photochrom.imaging.photo import open_photo
from photochrom.inference.bundle import BundleError
from photochrom.inference.colorizer import Colorizer
from photochrom.inference.restorer import Restorer
from photochrom.models.cold import Mlp
from photochrom.training.checkpoint import load
from photochrom.training.export import export
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


@pytest.fixture(scope="module")
def autoencoder(recipe, tmp_path_factory):
    """A run of a VQ-VAE."""
    return train(recipe({"family": "vqvae", "net": NET}, 12), tmp_path_factory.mktemp("vqvae") / "run")


def test_the_autoencoder_stays_as_it_was_and_all_of_it_goes_into_the_bundle(autoencoder, recipe, tmp_path):
    run = train(recipe(latent()), tmp_path / "run", init=autoencoder)
    before, after = (load(which)[0].state_dict() for which in (autoencoder, run))
    assert all(torch.equal(before[name], after[name]) for name in before)
    export(run, tmp_path / "cold")
    photo = np.random.default_rng(0).integers(60, 190, (37, 53), np.uint8)
    pictures = [Colorizer(tmp_path / "cold", solver=solver)(photo) for solver in SOLVERS]
    assert all((picture.max(-1) != picture.min(-1)).any() for picture in pictures)
    gray = Colorizer(tmp_path / "cold").prepare(open_photo(photo)).gray
    assert len(Colorizer(tmp_path / "cold").trajectory(gray)) == 6


def test_a_bundle_of_the_autoencoder_will_do_as_well(autoencoder, recipe, tmp_path):
    export(autoencoder, tmp_path / "codes")
    run = train(recipe(latent()), tmp_path / "run", init=tmp_path / "codes")
    before, after = (load(which)[0].state_dict() for which in (autoencoder, run))
    name = "net.encoder.books.0.vectors"
    np.testing.assert_allclose(after[name], before[name], atol=1e-3)


@pytest.mark.parametrize("other", [None, {**NET, "dim": 2}, {**NET, "residual": 2}])
def test_without_the_right_autoencoder_nothing_is_trained(other, autoencoder, recipe, tmp_path):
    wanted = latent(autoencoder=other or NET)
    with pytest.raises(
        ValueError, match="must come from a run or bundle of the family vqvae: name with --init one of the same"
    ):
        train(recipe(wanted), tmp_path / "run", init=autoencoder if other else None)
    assert not (tmp_path / "run").exists()


def test_it_is_the_mean_of_the_channels_that_it_restores_from(autoencoder, recipe, tmp_path):
    with pytest.raises(ValueError, match=r"data.gray = 'lab': this family works on 'mean'"):
        train(recipe(latent(), gray="lab"), tmp_path / "run", init=autoencoder)


def test_layers_of_all_numbers_see_one_size_and_press_photographs_into_it(autoencoder, recipe, tmp_path):
    settings = {"restorer": "mlp", "mlp": {"layers": 2, "width": 8}, "side": 24}
    with pytest.raises(ValueError, match=r"data.size = 32: this model sees 24 pixels and nothing else"):
        train(recipe(latent(**settings), size=32), tmp_path / "run", init=autoencoder)
    with pytest.raises(ValueError, match="side 25: must divide by 4"):
        recipe(latent(**settings | {"side": 25}))
    export(train(recipe(latent(**settings)), tmp_path / "run", init=autoencoder), tmp_path / "square")
    colorizer = Colorizer(tmp_path / "square")
    assert colorizer.prepare(open_photo(np.full((30, 90), 99, np.uint8))).gray.shape == (1, 24, 24)
    assert colorizer(np.full((30, 90), 99, np.uint8)).shape == (30, 90, 3)
    with pytest.raises(ValueError, match="size 48: this model sees 24 pixels and nothing else"):
        export(tmp_path / "run", tmp_path / "larger", size=48)
    with pytest.raises(ValueError, match="size 48: square supports only 24 x 24 pixels"):
        colorizer(np.full((30, 90), 99, np.uint8), size=48)


def test_the_seed_documents_restorer_has_its_537_million_weights():
    with torch.device("meta"):
        net = Mlp(Mlp.Config(), 32, 16)
    assert sum(p.numel() for p in net.parameters() if p.ndim > 1) == 536_870_912
    assert sum(p.numel() for p in net.parameters()) == 536_936_448


def test_a_bundle_restores_from_python_what_it_was_trained_to(recipe, tmp_path, autoencoder):
    settings = {"net": UNET | {"resolution": 24, "attention": []}, "sampling": {"degradation": "mask", "steps": 5}}
    run = train(recipe({"family": "cold", **settings}, 8), tmp_path / "run")
    export(run, tmp_path / "mask")
    photo = np.random.default_rng(0).integers(60, 190, (48, 72, 3), np.uint8)
    restorer = Restorer(tmp_path / "mask")
    left, dirt = restorer.degrade(photo, seed=1)
    assert left.shape == (24, 36, 3)
    assert (left == 128).all(-1).mean() > 0.05
    restored = restorer(left, dirt)
    assert restored.shape == left.shape
    assert (restored != left).any()
    model = load(run)[0].eval()
    given = torch.from_numpy(left.astype(np.float32).transpose(2, 0, 1)[None] / 127.5 - 1)
    *_, ours = model.procedure.restore(torch_nets(model), given, torch.from_numpy(dirt))
    np.testing.assert_allclose(restored, (ours[0].permute(1, 2, 0).clamp(-1, 1).numpy() + 1) * 127.5, atol=0.6)
    with pytest.raises(ValueError, match="mask: the solver improved needs the noise of the degradation"):
        restorer(left)
    assert Restorer(tmp_path / "mask", solver="one-shot")(left, size=32).shape == (32, 48, 3)
    with pytest.raises(BundleError, match=r"does not colorize \(cold mask\)"):
        Colorizer(tmp_path / "mask")
    export(autoencoder, tmp_path / "codes")
    through = Restorer(tmp_path / "codes")
    assert through(through.degrade(photo)[0]).shape == (24, 36, 3)
    with pytest.raises(BundleError, match=r"unet: unet does not restore photos"):
        Restorer("unet")


@pytest.mark.parametrize("kind", DEGRADATIONS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_what_is_known_to_be_whole_is_restored_from_a_file_of_8_bits(kind, solver, recipe, tmp_path):
    """With a restorer that knows the photograph, whatever the loss and the way back."""
    sampling = {"degradation": kind, "levels": 4, "steps": 4, "solver": solver}
    run = train(recipe({"family": "cold", "net": UNET | {"attention": []}, "sampling": sampling}, 1), tmp_path / "run")
    export(run, tmp_path / "cold")
    restorer = Restorer(tmp_path / "cold")
    photo = np.random.default_rng(0).integers(60, 190, (48, 63, 3), np.uint8)  # whose sides divide by nothing
    left, dirt = restorer.degrade(photo)
    whole = open_photo(photo).resize(24, restorer.card.multiple)
    restorer.nets = {"restorer": lambda t, state: whole[None] * 2 - 1}
    np.testing.assert_allclose(restorer(left, dirt), whole.transpose(1, 2, 0) * 255, atol=2)


def test_dirt_of_another_shape_is_refused(recipe, tmp_path):
    sampling = {"degradation": "snow", "levels": 4, "steps": 4}
    run = train(recipe({"family": "cold", "net": UNET | {"attention": []}, "sampling": sampling}, 1), tmp_path / "run")
    export(run, tmp_path / "snow")
    restorer = Restorer(tmp_path / "snow")
    left, dirt = restorer.degrade(np.full((48, 48, 3), 99, np.uint8))
    for wrong, size in ((dirt, 48), (dirt[0], None), ([0.5, 0.5], None)):
        with pytest.raises(ValueError, match=r"noise of shape \(.*: must be \(1, 1,"):
            restorer(left, wrong, size)


def test_pixelation_wants_sides_of_whole_blocks(recipe, tmp_path):
    sampling = {"degradation": "pixelation", "levels": 4, "steps": 4}
    with pytest.raises(ValueError, match=r"data.size = 36: must divide by 8 for this model"):
        train(recipe({"family": "cold", "net": UNET, "sampling": sampling}, size=36), tmp_path / "run")


def test_one_shot_has_no_steps_and_says_so(autoencoder, recipe, tmp_path):
    sampling = {"latent": True, "solver": "one-shot"}
    export(train(recipe(latent(sampling=sampling)), tmp_path / "run", init=autoencoder), tmp_path / "cold")
    with pytest.raises(ValueError, match="steps: the solver one-shot takes one step; choose improved or naive"):
        Colorizer(tmp_path / "cold", steps=5)
    assert Colorizer(tmp_path / "cold", steps=5, solver="improved").procedure.steps == 5


def test_the_loss_has_one_unit_before_training_and_after(recipe):
    model = models.load_family("cold")(recipe(latent()).model)
    color, found = torch.rand(2, 3, 24, 24) * 2 - 1, []
    for training in (False, True, False):
        torch.manual_seed(0)
        found.append(model.train(training).loss("net", color[:, :1], color)["total"].item())
    assert found[0] == found[2] > 0


@pytest.mark.parametrize("kind", DEGRADATIONS)
def test_any_loss_can_be_learnt_in_pixels(kind, recipe):
    """A restorer that saw one photograph at every stage of its loss gives most of it back."""
    config = recipe(
        {
            "family": "cold",
            "net": UNET | {"resolution": 24, "attention": []},
            "sampling": {"degradation": kind, "levels": 4, "steps": 4},
            "power": 2,
        }
    ).model
    torch.manual_seed(0)
    model = models.load_family("cold")(config)
    color = torch.nn.functional.interpolate(torch.rand(1, 3, 3, 3) * 2 - 1, size=(24, 24), mode="bicubic").clip(-1, 1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss("net", color[:, :1], color.expand(4, -1, -1, -1))["total"].backward()
        optimizer.step()
    start, end = restore(model.eval(), color.mean(1, keepdim=True), color, seed=1)
    assert (end - color).abs().mean() < 0.6 * (start - color).abs().mean()
