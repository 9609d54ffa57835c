import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from photochrom.core.color import TO_XYZ, rgb_to_gray
from photochrom.training.augment import degrade, film_gray, pair, training_pair
from photochrom.training.recipe import Data


@pytest.fixture
def rgb():
    torch.manual_seed(0)
    small = torch.rand(40, 3, 4, 4)
    return torch.nn.functional.interpolate(small, (24, 24), mode="bilinear")


def seeded(function, *arguments):
    torch.manual_seed(3)
    return function(*arguments)


@pytest.mark.parametrize(("target", "channels"), [("ab", 2), ("rgb", 3)])
@pytest.mark.parametrize("convention", ["lab", "luma", "mean"])
def test_ranges(rgb, target, channels, convention):
    gray, color = training_pair(rgb, Data(gray=convention, degrade=1.0), target)
    assert gray.shape == (40, 1, 24, 24)
    assert color.shape == (40, channels, 24, 24)
    for planes in (gray, color):
        assert planes.dtype == torch.float32
        assert planes.abs().max() <= 1
        assert planes.std((1, 2, 3)).min() > 0.01


def test_known_colors():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    gray, ab = pair(red, "lab", "ab")
    assert gray[0, 0, 0, 0].item() * 50 + 50 == pytest.approx(53.24, abs=0.01)
    assert (ab[0, :, 0, 0] * 110).tolist() == pytest.approx([80.09, 67.20], abs=0.02)
    assert pair(red, "mean", "rgb")[0][0, 0, 0, 0].item() == pytest.approx(2 / 3 - 1)
    assert pair(red, "luma", "rgb")[1][0, :, 0, 0].tolist() == [1, -1, -1]


def test_pairs_without_augmentation_are_the_image(rgb):
    for ours, theirs in zip(training_pair(rgb, Data(), "ab"), pair(rgb, "lab", "ab"), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(pair(rgb, "lab", "ab")[0][:, 0], rgb_to_gray(rgb))


@pytest.mark.parametrize("settings", [Data(degrade=1.0), Data(film=1.0), Data(degrade=0.5, film=0.5)])
def test_augmentation_changes_the_gray_and_not_the_colors(rgb, settings):
    gray, color = pair(rgb, "lab", "ab")
    changed, same = seeded(training_pair, rgb, settings, "ab")
    assert torch.equal(color, same)
    assert not torch.equal(gray, changed)
    assert torch.equal(seeded(training_pair, rgb, settings, "ab")[0], changed)


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_film_changes_the_gray_of_its_share_of_images(rgb, share):
    plain, filmed = pair(rgb, "lab", "ab")[0], seeded(training_pair, rgb, Data(film=share), "ab")[0]
    changed = (plain - filmed).abs().amax((1, 2, 3)) > 1e-3
    assert abs(changed.float().mean() - share) < 0.2
    assert -1 <= filmed.min() <= filmed.max() <= 1


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_defects_keep_to_their_strength(strength):
    flat = torch.zeros(400, 1, 32, 32)
    degraded = seeded(degrade, flat, strength)
    light = degraded.median(-1).values.median(-1).values / 2 + 0.5
    lowest, highest = 0.5**2**strength, 0.5**0.5**strength
    # Contrast lost towards black or white, and an exposure that differs from edge to edge.
    margin = 0.2 * strength + 0.3 * strength * 0.5 + 0.02
    assert lowest - margin < light.min() < 0.5 < light.max() < highest + margin
    noise = (degraded - degraded.roll(1, -1)).abs().flatten(1).median(1).values / 2
    assert 0.01 * strength < noise.max() < 0.1 * strength
    assert degraded.dtype == torch.float32
    assert -1 <= degraded.min() <= degraded.max() <= 1
    assert degrade(flat, 0.0) is flat


def test_blur_takes_detail_and_not_light():
    checkers = torch.ones(200, 1, 32, 32)
    checkers[..., ::2, ::2] = checkers[..., 1::2, 1::2] = -1
    contrast = seeded(degrade, checkers, 1.0).std((1, 2, 3))
    assert contrast.min() < 0.15  # the most blurred keeps grain alone
    assert contrast.max() > 0.6


def test_images_of_a_batch_differ_in_their_defects():
    degraded = seeded(degrade, torch.zeros(20, 1, 16, 16), 1.0)
    assert degraded.mean((1, 2, 3)).unique().numel() == 20


@settings(max_examples=50)
@given(st.floats(0, 1), st.floats(0, 1))
def test_film_gray_of_neutral_gray_is_its_lightness(level, red):
    """Whatever its sensitivity, a film renders neutral grays alike; to light it cannot see it is black."""
    neutral = torch.full((3, 1, 1), level)
    sensitivity = torch.tensor([red, (1 - red) / 2, (1 - red) / 2])
    assert film_gray(neutral, sensitivity).item() == pytest.approx(rgb_to_gray(neutral).item(), abs=1e-4)
    pure = torch.tensor([1.0, 0, 0])[:, None, None]
    assert film_gray(pure, torch.tensor([0.0, 0.5, 0.5])).item() == pytest.approx(-1, abs=1e-6)
    assert film_gray(pure, torch.tensor(TO_XYZ[1])).item() == pytest.approx(rgb_to_gray(pure).item(), abs=1e-5)
