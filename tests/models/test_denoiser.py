"""The network of diffusion, and the losses of the two families that use it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from photochrom import models
from photochrom.core.sampling import Diffusion, diffusion
from photochrom.models import ddpm, palette
from photochrom.models._denoiser import Attention, Denoiser, predict

SMALL = Denoiser.Config(channels=8, multipliers=(1, 2), blocks=1, resolution=32, attention=(16,), head=8)


def test_attention_is_at_the_configured_resolutions_only():
    net, sides = Denoiser(SMALL, 2, 1), []
    for module in net.modules():
        if isinstance(module, Attention):
            module.register_forward_hook(lambda _, inputs, __: sides.append(inputs[0].shape[-1]))
    net(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32), torch.ones(1))
    assert set(sides) == {16}
    assert len(sides) == 1 + 1 + 2  # on the way down, in the middle, on the way up


def test_attention_reaches_across_the_image():
    torch.manual_seed(0)
    attention = Attention(8, 8)
    torch.nn.init.normal_(attention.answer.weight)
    x = torch.randn(1, 8, 6, 6)
    other = x.clone()
    other[..., 0, 0] += 1
    assert (attention(x) - attention(other))[..., 5, 5].abs().max() > 1e-4


def test_residual_blocks_can_change_the_size():
    torch.manual_seed(0)
    net = Denoiser(replace(SMALL, resize="residual"), 2, 1)
    sizes = []
    for module in (*net.shrink, *net.grow):
        module.register_forward_hook(lambda _, inputs, x: sizes.append((inputs[0].shape[-1], x.shape[-1])))
    x, level = torch.rand(1, 2, 32, 32), torch.full((1,), 0.5)
    assert net(x, x[:, :1], level).shape == x.shape
    assert sizes == [(32, 16), (16, 32)]
    # At first each is its shortcut: the mean of 2 x 2 pixels, or each pixel repeated.
    features = torch.rand(1, 8, 16, 16)
    embedding = torch.rand(1, 32)
    close = {"atol": 1e-3, "rtol": 0}
    torch.testing.assert_close(net.shrink[0](features, embedding), F.avg_pool2d(features, 2), **close)
    wide = torch.rand(1, 16, 16, 16)
    torch.testing.assert_close(net.grow[0](wide, embedding), F.interpolate(wide, scale_factor=2.0), **close)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention": (10,)}, r"attention at \[10\]: the feature maps are"),
        ({"head": 5}, "head 5: must divide the 192 channels"),
        ({"blocks": 0}, r"blocks\n.*greater than or equal to 1"),
        ({"dropout": 1.0}, r"dropout\n.*less than 1"),
        ({"resize": "bilinear"}, r"resize\n.*'convolution' or 'residual'"),
    ],
)
def test_invalid_settings_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        Denoiser.Config(**settings)


class Recorder(torch.nn.Module):
    """Returns zeros and records its inputs."""

    def forward(self, noisy, condition, t):
        self.noisy, self.t = noisy, t
        return torch.zeros_like(noisy)


@pytest.mark.parametrize(("power", "level"), [(1, (2 / np.pi) ** 0.5), (2, 1.0)])
def test_noise_is_gaussian_and_is_the_target(power, level):
    """The loss of a network that returns zeros is the mean of |N(0, 1)|^power, which uniform noise would not give."""
    torch.manual_seed(0)
    net, clean = Recorder(), torch.full((64, 2, 16, 16), 0.3)
    gammas = torch.linspace(0.1, 0.9, 64)
    loss = predict(net, Diffusion(prediction="noise"), clean, clean[:, :1], gammas).simple_loss(power)
    assert loss.item() == pytest.approx(level, rel=0.01)
    gammas = gammas[:, None, None, None]
    noise = (net.noisy - clean * gammas.sqrt()) / (1 - gammas).sqrt()
    assert noise.abs().pow(power).mean().item() == pytest.approx(loss.item(), rel=1e-4)
    torch.testing.assert_close(net.t.square(), gammas.ravel())


def test_palette_trains_between_the_steps():
    torch.manual_seed(0)
    model = palette.Model(palette.Model.Config(net=SMALL, levels=4, betas=(0.1, 0.5)))
    model.net = Recorder()
    model.loss("net", torch.zeros(512, 1, 4, 4), torch.zeros(512, 3, 4, 4))
    gammas, ends = model.net.t.square(), model.gammas
    assert len(gammas.unique()) > 500
    assert ends[-1] <= gammas.min() < ends[-2]
    assert ends[1] < gammas.max() <= 1
    shares = torch.histogram(gammas, ends.flip(0).contiguous()).hist / 512
    torch.testing.assert_close(shares, torch.full((4,), 0.25), atol=0.06, rtol=0)


def test_palette_schedules_are_those_of_the_paper():
    config = palette.Model.Config()
    schedule = diffusion.linear_schedule(config.levels, *config.betas)
    assert schedule[-1] == pytest.approx(4.39e-5, rel=0.01)
    assert config.sampling.gammas()[-1] == pytest.approx(6.6e-21, rel=0.02)


def test_guide_with_rate_zero_is_not_trained():
    settings = ddpm.Model.Config(net=SMALL, sampling=Diffusion(guided=True))
    model = ddpm.Model(settings).train()
    before = {name: value.clone() for name, value in model.net["guide"].state_dict().items()}
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 0.1)
    model.loss("net", torch.rand(2, 1, 32, 32), torch.rand(2, 2, 32, 32))["total"].backward()
    optimizer.step()
    for name, value in model.net["guide"].state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def test_bound_trains_the_variance_only():
    model = ddpm.Model(ddpm.Model.Config(net=SMALL, sampling=Diffusion(gain=6.0, variance="learned")))
    torch.manual_seed(0)
    losses = model.loss("net", torch.rand(8, 1, 32, 32), torch.rand(8, 2, 32, 32) * 0.2)
    assert losses["bound"] > 0
    torch.testing.assert_close(losses["total"], losses["simple"] + 0.001 * losses["bound"])
    losses["bound"].backward()
    weight = model.net["denoiser"].exit[-1].weight
    assert weight.shape[0] == 4
    assert weight.grad[:2].abs().max() == 0
    assert weight.grad[2:].abs().min() > 0


def test_variance_is_learned():
    """For colors that follow from the gray it becomes that of the posterior, and any other costs more."""
    torch.manual_seed(0)
    sampling = Diffusion(levels=20, variance="learned", prediction="clean")
    model = ddpm.Model(ddpm.Model.Config(net=SMALL, sampling=sampling, bound_weight=0.1))
    gray = torch.rand(16, 1, 16, 16) * 2 - 1
    color = torch.cat([gray, -gray], 1) / 2
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss("net", gray, color)["total"].backward()
        optimizer.step()
    step = torch.randint(2, 21, (16,))
    now, before = model.gammas[step], model.gammas[step - 1]
    prediction = predict(model.net["denoiser"], sampling, color, gray, now)
    learned, unlearned = (
        ddpm.step_cost(prediction._replace(share=share), color, color, now, before).mean()
        for share in (prediction.share, torch.tensor(0.5))
    )
    assert learned < unlearned / 3


@pytest.mark.parametrize(
    ("family", "settings", "message"),
    [
        ("ddpm", {"power": 3}, r"power\n.*should be 1 or 2"),
        ("ddpm", {"guide_rate": -1.0}, r"guide_rate\n.*greater than or equal to 0"),
        ("ddpm", {"sampling": Diffusion("rgb")}, "predicts ab"),
        ("palette", {"power": 0}, r"power\n.*should be 1 or 2"),
        ("palette", {"betas": (0.5, 0.1)}, "must be between 0 and 1, in ascending order"),
        ("palette", {"sampling": Diffusion("ab")}, "predicts rgb"),
        ("palette", {"sampling": Diffusion("rgb", variance="learned")}, "learned variance"),
    ],
)
def test_invalid_family_settings_are_rejected(family, settings, message):
    with pytest.raises(ValueError, match=message):
        models.load_family(family).Config(**settings)
