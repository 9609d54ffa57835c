"""Networks and losses that families share, and the discovery of families."""

import pytest
import torch

from photochrom import models
from photochrom.core.color import lab_to_rgb
from photochrom.models import _losses
from photochrom.models._blocks import ColorNet, downsample
from photochrom.models.unet import Model

GRAY = torch.rand(2, 1, 32, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("filters", [4, 6])
def test_plain_net_has_full_size_output(depth, filters):
    net = ColorNet(ColorNet.Config(depth=depth, filters=filters), 3)
    assert net(GRAY).shape == (2, 3, 32, 64)
    assert len(net.encoder.levels) == depth + 1
    assert net.encoder.channels[-1] == filters * 2**depth
    assert net.size_multiple == 2**depth


def test_fewer_decoder_blocks_give_a_smaller_output():
    assert ColorNet(ColorNet.Config(depth=3, filters=4, widths=(8,)), 2)(GRAY).shape == (2, 2, 8, 16)


@pytest.mark.parametrize("encoder", ["efficientnet-lite0", "efficientnet-lite2"])
def test_pretrained_net_with_three_blocks_gives_a_quarter(encoder):
    net = ColorNet(ColorNet.Config(encoder=encoder, frozen=1, encoder_rate=0.1, widths=(8, 8, 8)), 2)
    assert net.eval()(GRAY).shape == (2, 2, 8, 16)
    assert net.learning_rates == {"encoder.": 0.1}
    assert net.size_multiple == 32


def test_dropout_is_active_in_training_only():
    net = ColorNet(ColorNet.Config(depth=2, filters=4, dropout=0.5), 2)
    assert not torch.equal(net(GRAY), net(GRAY))
    assert torch.equal(net.eval()(GRAY), net(GRAY))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"encoder": "vgg"}, r"encoder\n.*should be 'plain', 'efficientnet-lite0' or 'efficientnet-lite2'"),
        ({"depth": 1, "widths": (4, 4)}, "1 scales to climb"),
        ({"depth": 0}, r"depth\n.*greater than or equal to 1"),
        ({"filters": 0}, r"filters\n.*greater than or equal to 1"),
        ({"frozen": 6}, r"frozen\n.*less than or equal to 5"),
        ({"frozen": -1}, r"frozen\n.*greater than or equal to 0"),
        ({"encoder_rate": 0.0}, r"encoder_rate\n.*greater than 0"),
        ({"dropout": 1.0}, r"dropout\n.*less than 1"),
        ({"widths": (0,)}, r"widths.0\n.*greater than or equal to 1"),
    ],
)
def test_invalid_networks_are_rejected(config, message):
    with pytest.raises(ValueError, match=message):
        ColorNet(ColorNet.Config(**config), 2)


def test_downsample_averages():
    assert torch.allclose(downsample(GRAY, GRAY[:, :, ::4, ::4])[0, 0, 0, 0], GRAY[0, 0, :4, :4].mean())
    assert downsample(GRAY, GRAY) is GRAY


def test_losses_follow_their_formulas():
    x, y = torch.tensor([[0.3, -0.01]]).T[None, :, None], torch.zeros(1, 2, 1, 1)
    delta = 5 / 110
    assert _losses.PLAIN_LOSSES["l1"](x, y).item() == pytest.approx(0.155)
    assert _losses.PLAIN_LOSSES["l2"](x, y).item() == pytest.approx((0.09 + 0.0001) / 2)
    assert _losses.huber(x, y, delta).item() == pytest.approx(((0.3 - delta / 2) + 0.0001 / (2 * delta)) / 2)
    assert _losses.distance(x, y, delta).item() == pytest.approx((0.0901 + delta**2) ** 0.5 - delta, rel=1e-5)


@pytest.mark.parametrize(("chroma", "weight"), [(0, 1), (25, 1.5), (50, 2), (80, 2)])
def test_vivid_pixels_count_more(chroma, weight):
    """The truth is one pixel of this chroma and one gray one, which is off by 10 Lab units."""
    truth = torch.zeros(1, 2, 1, 2)
    truth[0, 1, 0, 0] = chroma / 110
    prediction = truth + torch.tensor([0.0, 10 / 110])
    loss = _losses.vivid_distance(prediction, truth, 1e-6).item()
    assert loss == pytest.approx(2**0.5 * 10 / 110 / (weight + 1), rel=1e-3)


def test_vivid_distance_of_a_batch_is_the_mean_of_its_images():
    truth = (
        torch.rand(2, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.1, 1])[:, None, None, None]
    )
    both, *each = (_losses.vivid_distance(0 * y, y, 0.05) for y in (truth, truth[:1], truth[1:]))
    assert both.item() == pytest.approx(sum(each).item() / 2, rel=1e-5)


def test_vivid_distance_needs_ab():
    with pytest.raises(ValueError, match=r"losses\.vivid-distance: .*target = 'rgb'"):
        Model.Config(target="rgb", losses={"vivid-distance": 1.0})


def test_total_is_the_weighted_sum():
    parts = _losses.RegressionConfig(losses={"l1": 2.0, "l2": 0.5}).total_loss(GRAY, -GRAY, GRAY)
    assert parts["total"].item() == pytest.approx(2 * parts["l1"].item() + 0.5 * parts["l2"].item(), rel=1e-5)


@pytest.mark.parametrize("losses", [{"l3": 1.0}, {}, {"l1": 0.0}, {"l1": 1.0, "l2": -1.0}, {"l1": float("inf")}])
def test_invalid_loss_weights_are_rejected(losses):
    message = r"give .* of l1, l2, huber, distance, vivid-distance, .*|greater than or equal to 0|finite number"
    with pytest.raises(ValueError, match=message):
        Model.Config(losses=losses)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"delta": 0.0}, r"delta\n.*greater than 0"),
        ({"delta": float("inf")}, r"delta\n.*less than or equal to 256"),
        ({"chroma": float("nan")}, r"chroma\n.*less than or equal to 10"),
        ({"chroma": -1.0}, r"chroma\n.*greater than 0"),
        ({"layers": (5,)}, r"layers.0\n.*less than or equal to 4"),
    ],
)
def test_invalid_loss_settings_are_rejected(settings, message):
    with pytest.raises(ValueError, match=message):
        Model.Config(**settings)


@pytest.mark.parametrize("name", ["perceptual", "colorfulness"])
def test_image_losses_are_equal_for_ab_and_rgb(name):
    total_loss = _losses.RegressionConfig(losses={name: 1.0}).total_loss
    gray = torch.linspace(-0.4, 0.4, 32)[None, None, :, None].expand(1, 1, 32, 32)
    one, other = (gray.expand(1, 2, 32, 32) * torch.tensor(k)[None, :, None, None] for k in ([0.3, 0.1], [-0.1, 0.3]))
    rgb = [lab_to_rgb(torch.cat([(gray + 1) * 50, ab * 110], 1)) * 2 - 1 for ab in (one, other)]
    assert torch.allclose(total_loss(one, other, gray)["total"], total_loss(*rgb, gray)["total"], rtol=1e-3)


@pytest.mark.parametrize("name", ["perceptual", "colorfulness"])
def test_image_losses_clip_to_the_range_of_images(name):
    total_loss, truth = _losses.RegressionConfig(losses={name: 1.0}, target="rgb").total_loss, torch.zeros(1, 3, 32, 32)
    vivid = torch.linspace(-9, 9, 32).expand(1, 3, 32, 32) * torch.tensor([1.0, -1.0, 1.0])[None, :, None, None]
    result, within = (
        total_loss(prediction, truth, truth[:, :1])["total"] for prediction in (vivid, vivid.clamp(-1, 1))
    )
    assert torch.equal(result, within)


def test_losses_without_weight_are_skipped():
    config = _losses.RegressionConfig(losses={"l1": 1.0, "perceptual": 0.0})
    assert config.gray_convention is None
    assert set(config.total_loss(GRAY, -GRAY, GRAY)) == {"total", "l1"}


def test_perceptual_loss_is_zero_for_the_ground_truth_and_has_a_gradient():
    total_loss = _losses.RegressionConfig(losses={"perceptual": 1.0}).total_loss
    truth = torch.rand(1, 2, 8, 8) * 0.2  # smaller than the gray, and than the smallest input of VGG16
    gray = torch.rand(1, 1, 16, 16)
    assert total_loss(truth, truth, gray)["total"].item() == 0
    prediction = torch.zeros_like(truth).requires_grad_()
    total_loss(prediction, truth, gray)["total"].backward()
    assert prediction.grad.abs().sum() > 0
    assert prediction.grad.isfinite().all()


def test_colorfulness_of_gray_has_a_finite_gradient():
    prediction = torch.zeros(1, 2, 8, 8, requires_grad=True)
    result = _losses.RegressionConfig(losses={"colorfulness": 1.0}).total_loss(
        prediction, prediction, torch.zeros(1, 1, 8, 8)
    )["total"]
    assert result.item() == pytest.approx(1, abs=1e-2)
    result.backward()
    assert prediction.grad.isfinite().all()


def test_image_losses_of_ab_need_the_lab_gray():
    assert Model(Model.Config(losses={"perceptual": 1.0})).gray_convention == "lab"
    assert Model(Model.Config(losses={"perceptual": 1.0}, target="rgb")).gray_convention is None


def test_rgb_target_has_three_channels():
    model = Model(Model.Config(net=ColorNet.Config(depth=1, filters=4), target="rgb"))
    assert model.net(GRAY).shape[1] == 3
    assert model.procedure.target == "rgb"
    with pytest.raises(ValueError, match=r"target\n.*should be 'ab' or 'rgb'"):
        Model.Config(target="hsv")


def test_families_are_discovered_by_module_name():
    assert {"unet", "classify", "coltran"} <= set(models.family_names())
    assert "family" not in models.family_names()
    assert models.load_family("coltran").family_name == "coltran"  # a package
    with pytest.raises(LookupError, match="no model family 'gan'; there are"):
        models.load_family("gan")
