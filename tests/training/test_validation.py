from dataclasses import dataclass
from typing import ClassVar

import pytest
import pyvips
import torch
from torch import nn

from photochrom.core.color import AB_SCALE, rgb_to_lab
from photochrom.core.sampling import Direct
from photochrom.core.sampling.procedure import Capabilities
from photochrom.models.family import Family, Network
from photochrom.training.augment import pair
from photochrom.training.validation import colorize, metrics, torch_nets, torch_noise, write_samples


@dataclass(frozen=True)
class Constant:
    """A procedure that returns a given ab, whatever the networks."""

    ab: torch.Tensor
    target: ClassVar[str] = "ab"
    capabilities: ClassVar[Capabilities] = Capabilities(("net",))

    def __call__(self, nets, gray, noise):
        return self.ab


class Scaled(Network):
    inputs = {"t": (), "gray": (1, "h", "w")}  # noqa: RUF012

    def forward(self, t, gray):
        return gray * t[:, None, None, None]


class Model(Family):
    trainable = ("net",)

    def __init__(self, procedure):
        super().__init__(None)
        self.procedure, self.net, self.weight = procedure, Scaled(), nn.Parameter(torch.zeros(1))

    def networks(self):
        return {"colors": self.net}

    def loss(self, part, gray, color):
        return {"total": self.weight.sum() + len(gray)}

    def validation_metrics(self, gray, color):
        return {"mean_gray": gray.mean((1, 2, 3))}


def batch(count):
    rgb = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(count))
    return *pair(rgb, "lab", "ab"), rgb


def test_floats_become_an_input_for_each_image():
    model = Model(Direct())
    net = torch_nets(model.train())["colors"]
    gray = torch.ones(3, 1, 2, 2)
    assert torch.equal(net(t=0.25, gray=gray), gray / 4)
    assert not net(t=1.0, gray=gray.requires_grad_()).requires_grad
    assert not model.net.training


def test_noise_depends_on_its_seed():
    like = torch.zeros(200, 500)
    first, again, other = (torch_noise(seed)(like) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.mean() == pytest.approx(0, abs=0.02)
    gumbel = torch_noise(1)(like, "gumbel")
    assert gumbel.mean() == pytest.approx(0.5772, abs=0.02)
    assert gumbel.var() == pytest.approx(torch.pi**2 / 6, abs=0.05)


@pytest.mark.parametrize("kind", ["normal", "gumbel"])
def test_noise_is_drawn_on_the_device_of_the_images(kind, monkeypatch):
    """Its generator is that of the device, once for all draws; on a CPU it gives the numbers it always gave."""
    like, devices = torch.zeros(2, 3), []
    create = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device="cpu": devices.append(device) or create(device))
    noise = torch_noise(1)
    first, second = noise(like, kind), noise(like, kind)
    assert devices == [like.device]
    generator = create().manual_seed(1)
    draws = [torch.empty(2, 3) for _ in range(2)]
    for values, draw in zip((first, second), draws, strict=True):
        if kind == "normal":
            assert torch.equal(values, draw.normal_(generator=generator))
        else:
            assert torch.equal(values, -draw.exponential_(generator=generator).log())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_noise_on_a_gpu():
    like = torch.zeros(200, 500, device="cuda")
    first, again = (torch_noise(1)(like) for _ in range(2))
    assert first.is_cuda
    assert torch.equal(first, again)
    assert torch_noise(1)(like, "gumbel").mean().item() == pytest.approx(0.5772, abs=0.02)


def test_small_colors_are_resized_to_the_gray():
    model = Model(Constant(torch.full((2, 2, 3, 3), 0.5)))
    assert torch.allclose(colorize(model, torch.zeros(2, 1, 12, 10)), torch.full((2, 2, 12, 10), 0.5))


def test_metrics_of_ground_truth_and_of_the_grayscale_baseline():
    gray, ab, rgb = batch(5)
    chroma = rgb_to_lab(rgb)[:, 1:].norm(dim=1).mean().item()
    common = {"loss": 5, "gray_error": chroma, "mean_gray": gray.mean().item()}
    ground_truth = metrics(Model(Constant(ab)), [(gray, ab, rgb)], 0)
    assert ground_truth == pytest.approx({**common, "ab_error": 0, "chroma_ratio": 1}, abs=1e-4)
    baseline = metrics(Model(Constant(ab * 0)), [(gray, ab, rgb)], 0)
    assert baseline == pytest.approx({**common, "ab_error": chroma, "chroma_ratio": 0}, abs=1e-4)
    shift = torch.tensor([3.0, 4.0])[:, None, None] / AB_SCALE
    assert metrics(Model(Constant(ab + shift)), [(gray, ab, rgb)], 0)["ab_error"] == pytest.approx(5, abs=1e-4)


def test_metrics_weigh_every_image_alike():
    model = Model(Constant(torch.zeros(1, 2, 8, 8)))
    uneven = [batch(6), batch(2)]
    even = [tuple(torch.cat(column) for column in zip(*uneven, strict=True))]
    assert metrics(model, uneven, 0)["ab_error"] == pytest.approx(metrics(model, even, 0)["ab_error"], rel=1e-5)
    assert metrics(model, uneven, 0)["mean_gray"] == pytest.approx(metrics(model, even, 0)["mean_gray"], rel=1e-5)


def test_samples_show_gray_output_and_ground_truth(tmp_path):
    gray, ab, rgb = batch(3)
    write_samples(Model(Constant(ab)), (gray, ab, rgb), tmp_path / "samples" / "1.png", 0)
    pixels = pyvips.Image.new_from_file(str(tmp_path / "samples" / "1.png")).numpy()
    assert pixels.shape == (24, 24, 3)
    assert (pixels[:8].std(-1) == 0).all()
    assert abs(pixels[8:16].astype(int) - pixels[16:].astype(int)).max() <= 1
    assert abs(pixels[16:, :8] / 255 - rgb[0].movedim(0, -1).numpy()).max() < 0.003
