"""Codes: the nearest, learnt by loss or by means, in use or dead; and the pictures they stand for."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch.multiprocessing import spawn

from photochrom.models import vqvae
from photochrom.models._autoencoder import Autoencoder, Codebook, perplexity

SMALL = {"hidden": (4, 8), "residual": 1, "codes": 6, "dim": 3}


def book(learning="ema", codes=6, dim=3, decay=0.9, revive=0.0):
    torch.manual_seed(0)
    made = Codebook(codes, dim, learning, decay, revive)
    with torch.no_grad():
        made.vectors.normal_()
        if learning == "ema":
            made.sums.copy_(made.vectors)
            made.counts.fill_(1)
    return made


PLACES = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))


def flat(places):
    return places.permute(0, 2, 3, 1).reshape(-1, places.shape[1])


def test_each_place_gets_the_code_nearest_to_it():
    made = book()
    found = made(PLACES)
    expected = cdist(flat(PLACES), made.vectors).argmin(1)
    np.testing.assert_array_equal(found.numbers.flatten(), expected)
    np.testing.assert_array_equal(flat(found.codes), made.vectors[expected])


def test_the_gradient_goes_straight_through():
    places = PLACES.clone().requires_grad_()
    found = book("loss")(places)
    np.testing.assert_allclose(found.straight.detach(), found.codes.detach(), atol=1e-6)
    slopes = torch.randn(PLACES.shape)
    (found.straight * slopes).sum().backward()
    np.testing.assert_array_equal(places.grad, slopes)


def test_means_move_as_the_formula_has_them():
    made, before = book(), book()
    found = made(PLACES)
    made.follow(found)
    for code in range(6):
        here = flat(PLACES)[found.numbers.flatten() == code]
        count = 0.9 * 1 + 0.1 * len(here)
        total = 0.9 * before.vectors[code] + 0.1 * here.sum(0)
        np.testing.assert_allclose(made.vectors[code].numpy(), (total / count).numpy(), rtol=1e-3, atol=1e-4)


def test_codes_settle_on_the_middles_of_clusters():
    middles = torch.tensor([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]])
    made = book(codes=3, decay=0.5, revive=0.1)
    torch.manual_seed(0)
    for _ in range(60):
        places = middles[torch.randint(3, (1, 8, 8))].permute(0, 3, 1, 2)
        made.follow(made(places))
    assert cdist(middles, made.vectors).min(1).max() < 0.05


def test_a_dead_code_takes_a_place_of_the_batch_and_live_ones_stay():
    made, kept = book(decay=0.5, revive=0.2), book(decay=0.5, revive=0.0)
    kept.load_state_dict(made.state_dict())
    for one in (made, kept):
        with torch.no_grad():
            one.vectors[4] = one.sums[4] = 100.0  # near to nothing
    died = False
    for _ in range(4):
        kept.load_state_dict(made.state_dict())
        for one in (made, kept):
            one.follow(one(PLACES))
        live = kept.counts >= 0.2
        assert live.any()
        assert torch.equal(made.vectors[live], kept.vectors[live])
        if not live[4]:
            died = True
            assert cdist(made.vectors[4:5], flat(PLACES)).min() == 0
            assert made.counts[4] == 1
    assert died


def test_perplexity_is_the_number_of_codes_used_evenly():
    assert perplexity(torch.full((16,), 1 / 16)) == pytest.approx(16)
    assert perplexity(torch.eye(16)[3]) == pytest.approx(1)


@pytest.mark.parametrize("learning", ["ema", "loss"])
@pytest.mark.parametrize("levels", [1, 2])
def test_what_is_lost_is_as_published(learning, levels):
    torch.manual_seed(0)
    model = vqvae.Model(
        vqvae.Model.Config(Autoencoder.Config(**SMALL, levels=levels, learning=learning), gray_too=False)
    )
    color = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        levels_found = model.net.encoder.levels(color)
        given_back = model.net.decoder(model.net.encoder(color))
        lost = model.eval().loss("net", color[:, :1], color)
        measured = model.validation_metrics(color[:, :1], color)["color_mse"]
    apart = sum(((q.places - q.codes) ** 2).mean() for q in levels_found)
    assert lost["reconstruction"].item() == pytest.approx(((given_back - color) ** 2).mean().item(), rel=1e-4)
    assert lost["total"].item() == pytest.approx(
        (lost["reconstruction"] + (0.25 + (learning == "loss")) * apart).item(), rel=1e-4
    )
    np.testing.assert_allclose(measured.mean(), lost["reconstruction"], rtol=1e-4)


def test_commitment_moves_the_encoder_and_the_loss_of_codes_moves_codes():
    made = book("loss")
    places = PLACES.clone().requires_grad_()
    found = made(places)
    (found.places - found.codes.detach()).square().mean().backward(retain_graph=True)
    assert made.vectors.grad is None
    places.grad = None
    (found.codes - found.places.detach()).square().mean().backward()
    assert places.grad is None
    assert made.vectors.grad.any()


def test_codes_are_learnt_in_training_and_nowhere_else():
    model = vqvae.Model(vqvae.Model.Config(Autoencoder.Config(**SMALL)))
    color = torch.rand(2, 3, 16, 16) * 2 - 1
    before = model.net.encoder.books[0].vectors.clone()
    model.eval().loss("net", color[:, :1], color)
    assert torch.equal(before, model.net.encoder.books[0].vectors)
    told = model.train().loss("net", color[:, :1], color)
    assert not torch.equal(before, model.net.encoder.books[0].vectors)
    assert 0 < told["usage"] <= 1
    assert 1 <= told["perplexity"] <= 6


@pytest.mark.parametrize("levels", [1, 2])
def test_a_latent_is_brought_to_its_nearest_codes_before_it_is_decoded(levels):
    torch.manual_seed(0)
    net = Autoencoder(Autoencoder.Config(**SMALL, levels=levels))
    latent = net.encoder(torch.rand(2, 3, 16, 24) * 2 - 1)
    assert latent.shape == (2, 3 * levels, 4, 6)
    np.testing.assert_allclose(net.decoder(latent).detach(), net.decoder.paint(latent).detach(), atol=1e-6)
    nudged = net.decoder(latent + 1e-4)
    np.testing.assert_allclose(nudged.detach(), net.decoder(latent).detach(), atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{"hidden": ()}, {"codes": 0}, {"levels": 3}, {"learning": "guess"}, {"decay": 1.0}, {"revive": -1.0}],
)
def test_settings_that_will_not_do(settings):
    with pytest.raises(ValueError, match=r"must be|choose|from 0"):
        Autoencoder.Config(**settings)


def _half(rank, folder):
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    made = book(revive=0.5)
    made.follow(made(PLACES[rank : rank + 1]))
    torch.save((made.vectors, made.counts), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_devices_learn_the_same_codes_from_both_their_batches(tmp_path):
    spawn(_half, (tmp_path,), 2)
    (vectors, counts), other = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    whole = book(revive=0.0)
    whole.follow(whole(PLACES))
    assert torch.equal(vectors, other[0])
    alive = whole.counts >= 0.5
    np.testing.assert_allclose(vectors[alive], whole.vectors[alive], atol=1e-5)
    np.testing.assert_allclose(counts[alive], whole.counts[alive], atol=1e-5)
