from dataclasses import dataclass
from typing import ClassVar

import pytest
import pyvips
import torch
from torch import nn

from photochrom.core.color import AB_SCALE, rgb_to_lab
from photochrom.core.sampling import Direct
from photochrom.training.dataset import pair
from photochrom.training.validation import colors, figures, strip, torch_nets, torch_noise


@dataclass(frozen=True)
class Told:
    """A procedure that gives the ab it was told, whatever the networks."""

    ab: torch.Tensor
    target: ClassVar[str] = "ab"
    colorizes: ClassVar[bool] = True

    def __call__(self, nets, gray, noise):
        return self.ab


class Timed(nn.Module):
    inputs = {"t": (), "gray": (1, "h", "w")}  # noqa: RUF012

    def forward(self, t, gray):
        return gray * t[:, None, None, None]


class Family(nn.Module):
    trainable = ("net",)

    def __init__(self, procedure):
        super().__init__()
        self.procedure, self.net, self.weight = procedure, Timed(), nn.Parameter(torch.zeros(1))

    def networks(self):
        return {"colors": self.net}

    def loss(self, player, gray, color):
        return {"total": self.weight.sum() + len(gray)}


def batch(count):
    rgb = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(count))
    pairs = [pair(picture, "lab", "ab") for picture in rgb.numpy()]
    gray, ab = (torch.stack(column) for column in zip(*pairs, strict=True))
    return gray, ab, rgb


def test_nets_are_called_with_a_time_for_each_photograph():
    family = Family(Direct())
    net = torch_nets(family.train())["colors"]
    gray = torch.ones(3, 1, 2, 2)
    assert torch.equal(net(gray=gray, t=0.25), gray / 4)
    assert not net(gray=gray.requires_grad_(), t=1.0).requires_grad
    assert not family.net.training


def test_noise_is_named_by_its_seed():
    like = torch.zeros(200, 500)
    first, again, other = (torch_noise(seed)(like) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.mean() == pytest.approx(0, abs=0.02)
    gumbel = torch_noise(1)(like, "gumbel")
    assert gumbel.mean() == pytest.approx(0.5772, abs=0.02)
    assert gumbel.var() == pytest.approx(torch.pi**2 / 6, abs=0.05)


def test_small_colors_are_brought_to_the_size_of_the_gray():
    family = Family(Told(torch.full((2, 2, 3, 3), 0.5)))
    assert torch.allclose(colors(family, torch.zeros(2, 1, 12, 10)), torch.full((2, 2, 12, 10), 0.5))


def test_figures_of_the_truth_and_of_gray():
    gray, ab, rgb = batch(5)
    chroma = rgb_to_lab(rgb)[:, 1:].norm(dim=1).mean().item()
    truth = figures(Family(Told(ab)), [(gray, ab, rgb)], 0)
    assert truth == pytest.approx({"loss": 5, "ab_error": 0, "gray_error": chroma, "chroma_ratio": 1}, abs=1e-4)
    none = figures(Family(Told(ab * 0)), [(gray, ab, rgb)], 0)
    assert none == pytest.approx({"loss": 5, "ab_error": chroma, "gray_error": chroma, "chroma_ratio": 0}, abs=1e-4)
    off = figures(Family(Told(ab + torch.tensor([3.0, 4.0])[:, None, None] / AB_SCALE)), [(gray, ab, rgb)], 0)
    assert off["ab_error"] == pytest.approx(5, abs=1e-4)


def test_figures_weigh_every_photograph_alike():
    family = Family(Direct())
    family.procedure = Told(torch.zeros(1, 2, 8, 8))
    uneven = [batch(6), batch(2)]
    joined = [tuple(torch.cat(column) for column in zip(*uneven, strict=True))]
    assert figures(family, uneven, 0)["ab_error"] == pytest.approx(figures(family, joined, 0)["ab_error"], rel=1e-5)


def test_strip_shows_gray_ours_and_truth(tmp_path):
    gray, ab, rgb = batch(3)
    strip(Family(Told(ab)), (gray, ab, rgb), tmp_path / "samples" / "1.png", 0)
    pixels = pyvips.Image.new_from_file(str(tmp_path / "samples" / "1.png")).numpy()
    assert pixels.shape == (24, 24, 3)
    assert (pixels[:8].std(-1) == 0).all()
    assert abs(pixels[8:16].astype(int) - pixels[16:].astype(int)).max() <= 1
    assert abs(pixels[16:, :8] / 255 - rgb[0].movedim(0, -1).numpy()).max() < 0.003
