"""Color as classification: soft targets, rarity and the prior."""

import pytest
import torch

from photochrom.core.color import ab_bins
from photochrom.models import classify
from photochrom.models._blocks import ColorNet

BINS = torch.tensor(ab_bins())


def test_soft_targets_are_gaussian_over_the_nearest_bins():
    ab = torch.tensor([[3.0, 4.0], [-40.0, 60.0]])
    nearest, shares = classify.soft_encode(ab, BINS, 5, 5.0)
    assert torch.allclose(shares.sum(1), torch.ones(2))
    assert BINS[nearest[1, 0]].tolist() == [-40, 60]
    distances = (BINS[nearest[0]] - ab[0]).square().sum(1)
    assert torch.allclose(distances, ((BINS - ab[0]).square().sum(1)).topk(5, largest=False).values)
    assert shares[0, 0] / shares[0, 1] == pytest.approx(torch.exp((distances[1] - distances[0]) / 50).item(), rel=1e-4)


def test_soft_targets_approximate_the_color():
    rng = torch.Generator().manual_seed(0)
    ab = torch.rand(200, 2, generator=rng) * 60 - 30
    nearest, shares = classify.soft_encode(ab, BINS, 5, 5.0)
    assert ((BINS[nearest] * shares[..., None]).sum(1) - ab).norm(dim=1).max() < 6


def test_rarity_has_mean_one_and_is_largest_for_rare_bins():
    prior = torch.rand(len(BINS), generator=torch.Generator().manual_seed(0)) ** 4
    prior /= prior.sum()
    weights = classify.rarity(prior, 0.5)
    assert (prior * weights).sum() == pytest.approx(1, abs=1e-5)
    assert weights[prior.argmin()] > weights[prior.argmax()]
    assert torch.allclose(classify.rarity(prior, 1.0), torch.ones(len(BINS)))


def test_prior_follows_the_training_images():
    model = classify.Model(classify.Model.Config(net=ColorNet.Config(depth=1, filters=4)))
    gray, ab = torch.zeros(1, 1, 8, 8), torch.full((1, 2, 8, 8), 0.0)
    before = model.prior.clone()
    model.train().loss("net", gray, ab)
    bin_of_gray = (BINS == 0).all(1).nonzero().item()
    assert model.prior[bin_of_gray] > before[bin_of_gray]
    assert model.prior.sum() == pytest.approx(1, abs=1e-5)
    after = model.prior.clone()
    model.eval().loss("net", gray, ab)
    assert torch.equal(model.prior, after)


@pytest.mark.parametrize(
    ("name", "value"),
    [("uniform", 0.0), ("uniform", 1.5), ("neighbors", 0), ("neighbors", 263), ("sigma", 0.0), ("sigma", -1.0)],
)
def test_settings_out_of_range_are_rejected(name, value):
    with pytest.raises(ValueError, match=rf"{name}\n.*(greater|less) than .*input_value={value}"):
        classify.Model.Config(**{name: value})
