"""Codebooks learned by a loss or by moving averages, dead codes, and the autoencoder around them."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch.multiprocessing import spawn

from photochrom.models import vqvae
from photochrom.models._autoencoder import Autoencoder, Codebook

SMALL = {"hidden": (4, 8), "residual": 1, "codes": 6, "dim": 3}


def build_codebook(learning="ema", codes=6, dim=3, decay=0.9, revive=0.0):
    torch.manual_seed(0)
    codebook = Codebook(codes, dim, learning, decay, revive)
    with torch.no_grad():
        codebook.vectors.normal_()
        if learning == "ema":
            codebook.sums.copy_(codebook.vectors)
            codebook.counts.fill_(1)
    return codebook


LATENTS = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))


def flat(latents):
    return latents.permute(0, 2, 3, 1).reshape(-1, latents.shape[1])


def test_each_latent_gets_the_nearest_code():
    codebook = build_codebook()
    quantized = codebook(LATENTS)
    expected = cdist(flat(LATENTS), codebook.vectors).argmin(1)
    np.testing.assert_array_equal(quantized.indices.flatten(), expected)
    np.testing.assert_array_equal(flat(quantized.codes), codebook.vectors[expected])


def test_straight_through_gradient():
    latents = LATENTS.clone().requires_grad_()
    quantized = build_codebook("loss")(latents)
    np.testing.assert_allclose(quantized.straight_through.detach(), quantized.codes.detach(), atol=1e-6)
    slopes = torch.randn(LATENTS.shape)
    (quantized.straight_through * slopes).sum().backward()
    np.testing.assert_array_equal(latents.grad, slopes)


def test_averages_follow_the_formula():
    codebook, before = build_codebook(), build_codebook()
    quantized = codebook(LATENTS)
    codebook.update(quantized)
    for code in range(6):
        here = flat(LATENTS)[quantized.indices.flatten() == code]
        count = 0.9 * 1 + 0.1 * len(here)
        total = 0.9 * before.vectors[code] + 0.1 * here.sum(0)
        np.testing.assert_allclose(codebook.vectors[code].numpy(), (total / count).numpy(), rtol=1e-3, atol=1e-4)


def test_codes_converge_to_cluster_centers():
    centers = torch.tensor([[0.0, 0, 0], [5, 0, 0], [0, 5, 0]])
    codebook = build_codebook(codes=3, decay=0.5, revive=0.1)
    torch.manual_seed(0)
    for _ in range(60):
        latents = centers[torch.randint(3, (1, 8, 8))].permute(0, 3, 1, 2)
        codebook.update(codebook(latents))
    assert cdist(centers, codebook.vectors).min(1).max() < 0.05


def test_dead_codes_are_replaced_and_others_are_not():
    codebook, reference = build_codebook(decay=0.5, revive=0.2), build_codebook(decay=0.5, revive=0.0)
    reference.load_state_dict(codebook.state_dict())
    for one in (codebook, reference):
        with torch.no_grad():
            one.vectors[4] = one.sums[4] = 100.0  # far from all latents
    died = False
    for _ in range(4):
        reference.load_state_dict(codebook.state_dict())
        for one in (codebook, reference):
            one.update(one(LATENTS))
        live = reference.counts >= 0.2
        assert live.any()
        assert torch.equal(codebook.vectors[live], reference.vectors[live])
        if not live[4]:
            died = True
            assert cdist(codebook.vectors[4:5], flat(LATENTS)).min() == 0
            assert codebook.counts[4] == 1
    assert died


def test_perplexity_of_even_use_is_the_number_of_codes():
    model = vqvae.Model(vqvae.Model.Config(Autoencoder.Config(**SMALL))).eval()
    counts, color = model.net.encoder.books[0].counts, torch.zeros(1, 3, 16, 16)
    for used in (len(counts), 1):
        counts.zero_()[:used] = 3.0
        assert model.loss("net", color[:, :1], color)["perplexity"].item() == pytest.approx(used)


@pytest.mark.parametrize("learning", ["ema", "loss"])
@pytest.mark.parametrize("levels", [1, 2])
def test_losses_follow_the_paper(learning, levels):
    torch.manual_seed(0)
    model = vqvae.Model(
        vqvae.Model.Config(Autoencoder.Config(**SMALL, levels=levels, learning=learning), gray_too=False)
    )
    color = torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        quantized = model.net.encoder.levels(color)
        reconstruction = model.net.decoder(model.net.encoder(color))
        losses = model.eval().loss("net", color[:, :1], color)
        mse = model.validation_metrics(color[:, :1], color)["color_mse"]
    apart = sum(((q.latents - q.codes) ** 2).mean() for q in quantized)
    assert losses["reconstruction"].item() == pytest.approx(((reconstruction - color) ** 2).mean().item(), rel=1e-4)
    assert losses["total"].item() == pytest.approx(
        (losses["reconstruction"] + (0.25 + (learning == "loss")) * apart).item(), rel=1e-4
    )
    np.testing.assert_allclose(mse.mean(), losses["reconstruction"], rtol=1e-4)


def test_commitment_trains_the_encoder_and_the_code_loss_trains_codes():
    codebook = build_codebook("loss")
    latents = LATENTS.clone().requires_grad_()
    quantized = codebook(latents)
    (quantized.latents - quantized.codes.detach()).square().mean().backward(retain_graph=True)
    assert codebook.vectors.grad is None
    latents.grad = None
    (quantized.codes - quantized.latents.detach()).square().mean().backward()
    assert latents.grad is None
    assert codebook.vectors.grad.any()


def test_codes_are_updated_in_training_only():
    model = vqvae.Model(vqvae.Model.Config(Autoencoder.Config(**SMALL)))
    color = torch.rand(2, 3, 16, 16) * 2 - 1
    before = model.net.encoder.books[0].vectors.clone()
    model.eval().loss("net", color[:, :1], color)
    assert torch.equal(before, model.net.encoder.books[0].vectors)
    losses = model.train().loss("net", color[:, :1], color)
    assert not torch.equal(before, model.net.encoder.books[0].vectors)
    assert 0 < losses["usage"] <= 1
    assert 1 <= losses["perplexity"] <= 6


@pytest.mark.parametrize("levels", [1, 2])
def test_decoder_quantizes_its_input(levels):
    torch.manual_seed(0)
    net = Autoencoder(Autoencoder.Config(**SMALL, levels=levels))
    latent = net.encoder(torch.rand(2, 3, 16, 24) * 2 - 1)
    assert latent.shape == (2, 3 * levels, 4, 6)
    np.testing.assert_allclose(net.decoder(latent).detach(), net.decoder.decode(latent).detach(), atol=1e-6)
    nudged = net.decoder(latent + 1e-4)
    np.testing.assert_allclose(nudged.detach(), net.decoder(latent).detach(), atol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{"hidden": ()}, {"codes": 0}, {"levels": 3}, {"learning": "guess"}, {"decay": 1.0}, {"revive": -1.0}],
)
def test_invalid_settings_are_rejected(settings):
    with pytest.raises(ValueError, match=r"Input should be|at least 1 item"):
        Autoencoder.Config(**settings)


def _half(rank, folder):
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    codebook = build_codebook(revive=0.5)
    codebook.update(codebook(LATENTS[rank : rank + 1]))
    torch.save((codebook.vectors, codebook.counts), folder / f"{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_devices_learn_the_same_codes(tmp_path):
    spawn(_half, (tmp_path,), 2)
    (vectors, counts), other = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    single = build_codebook(revive=0.0)
    single.update(single(LATENTS))
    assert torch.equal(vectors, other[0])
    alive = single.counts >= 0.5
    np.testing.assert_allclose(vectors[alive], single.vectors[alive], atol=1e-5)
    np.testing.assert_allclose(counts[alive], single.counts[alive], atol=1e-5)
