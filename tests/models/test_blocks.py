"""Networks and losses that families share."""

import pytest
import torch

from photochrom import models
from photochrom.core.color import lab_to_rgb
from photochrom.models import _losses
from photochrom.models._blocks import ColorNet, at_size
from photochrom.models.unet import Model

GRAY = torch.rand(2, 1, 32, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("filters", [4, 6])
def test_a_plain_net_of_any_depth_and_width_gives_full_size(depth, filters):
    net = ColorNet(ColorNet.Config(depth=depth, filters=filters), 3)
    assert net(GRAY).shape == (2, 3, 32, 64)
    assert len(net.encoder.levels) == depth + 1
    assert net.encoder.channels[-1] == filters * 2**depth
    assert net.size_multiple == 2**depth


def test_fewer_decoder_stages_stop_at_a_smaller_size():
    assert ColorNet(ColorNet.Config(depth=3, filters=4, widths=(8,)), 2)(GRAY).shape == (2, 2, 8, 16)


def test_a_pretrained_net_gives_a_quarter():
    net = ColorNet(ColorNet.Config(encoder="efficientnet-lite0", frozen=1, encoder_rate=0.1, widths=(8, 8, 8)), 2)
    assert net.eval()(GRAY).shape == (2, 2, 8, 16)
    assert net.learning_rates() == {"encoder.": 0.1}
    assert net.size_multiple == 32


def test_dropout_is_of_training_alone():
    net = ColorNet(ColorNet.Config(depth=2, filters=4, dropout=0.5), 2)
    assert not torch.equal(net(GRAY), net(GRAY))
    assert torch.equal(net.eval()(GRAY), net(GRAY))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"encoder": "vgg"}, "encoder 'vgg': choose one of plain"),
        ({"depth": 1, "widths": (4, 4)}, "1 scales to climb"),
        ({"depth": 0}, "depth 0: must be at least 1"),
        ({"filters": 0}, "filters 0: must be at least 1"),
        ({"frozen": 6}, "frozen 6: must be from 0 .* to 5"),
        ({"frozen": -1}, "frozen -1: must be from 0"),
        ({"encoder_rate": 0.0}, "encoder_rate 0.0: must be above 0"),
        ({"dropout": 1.0}, "dropout 1.0: must be at least 0 and below 1"),
        ({"widths": (0,)}, r"widths \[0\]: each must be at least 1"),
    ],
)
def test_nets_that_cannot_be_are_refused(config, said):
    with pytest.raises(ValueError, match=said):
        ColorNet(ColorNet.Config(**config), 2)


def test_at_size_is_the_mean():
    assert torch.allclose(at_size(GRAY, GRAY[:, :, ::4, ::4])[0, 0, 0, 0], GRAY[0, 0, :4, :4].mean())
    assert at_size(GRAY, GRAY) is GRAY


def test_losses_against_their_formulas():
    x, y = torch.tensor([[0.3, -0.01]]).T[None, :, None], torch.zeros(1, 2, 1, 1)
    delta = 5 / 110
    assert _losses.l1(x, y).item() == pytest.approx(0.155)
    assert _losses.l2(x, y).item() == pytest.approx((0.09 + 0.0001) / 2)
    assert _losses.huber(x, y, delta).item() == pytest.approx(((0.3 - delta / 2) + 0.0001 / (2 * delta)) / 2)
    assert _losses.distance(x, y, delta).item() == pytest.approx((0.0901 + delta**2) ** 0.5 - delta, rel=1e-5)


def test_the_total_is_the_weighted_sum():
    parts = _losses.OnePass(losses={"l1": 2.0, "l2": 0.5}).mix(GRAY, -GRAY, GRAY)
    assert parts["total"].item() == pytest.approx(2 * parts["l1"].item() + 0.5 * parts["l2"].item(), rel=1e-5)


@pytest.mark.parametrize("losses", [{"l3": 1.0}, {}, {"l1": 0.0}, {"l1": 1.0, "l2": -1.0}, {"l1": float("inf")}])
def test_losses_that_cannot_be_are_refused(losses):
    with pytest.raises(
        ValueError, match=r"give (a weight above 0 to one|finite weights of 0) or more .* l1, l2, huber, distance"
    ):
        Model.Config(losses=losses)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"delta": 0.0}, "delta 0.0: must"),
        ({"delta": float("inf")}, "delta inf: must be above 0, and 256 at most"),
        ({"chroma": float("nan")}, "chroma nan: must be above 0, and 10 at most"),
        ({"chroma": -1.0}, "chroma -1.0: must"),
        ({"layers": (5,)}, "five, 0 to 4"),
    ],
)
def test_shapes_of_losses_that_cannot_be_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        Model.Config(**settings)


@pytest.mark.parametrize("name", ["perceptual", "colorfulness"])
def test_losses_that_look_see_the_same_picture_in_ab_and_in_rgb(name):
    mix = _losses.OnePass(losses={name: 1.0}).mix
    gray = torch.linspace(-0.4, 0.4, 32)[None, None, :, None].expand(1, 1, 32, 32)
    one, other = (gray.expand(1, 2, 32, 32) * torch.tensor(k)[None, :, None, None] for k in ([0.3, 0.1], [-0.1, 0.3]))
    as_rgb = [lab_to_rgb(torch.cat([(gray + 1) * 50, ab * 110], 1)) * 2 - 1 for ab in (one, other)]
    assert torch.allclose(mix(one, other, gray)["total"], mix(*as_rgb, gray)["total"], rtol=1e-3)


@pytest.mark.parametrize("name", ["perceptual", "colorfulness"])
def test_losses_that_look_see_no_colour_beyond_what_a_picture_holds(name):
    mix, truth = _losses.OnePass(losses={name: 1.0}, target="rgb").mix, torch.zeros(1, 3, 32, 32)
    vivid = torch.linspace(-9, 9, 32).expand(1, 3, 32, 32) * torch.tensor([1.0, -1.0, 1.0])[None, :, None, None]
    found, within = (mix(painted, truth, truth[:, :1])["total"] for painted in (vivid, vivid.clamp(-1, 1)))
    assert torch.equal(found, within)


def test_a_loss_of_no_weight_is_none():
    found = _losses.OnePass(losses={"l1": 1.0, "perceptual": 0.0})
    assert not found.wants_lab
    assert set(found.mix(GRAY, -GRAY, GRAY)) == {"total", "l1"}


def test_the_perceptual_loss_is_none_for_what_is_right_and_can_be_learnt_from():
    mix = _losses.OnePass(losses={"perceptual": 1.0}).mix
    truth = torch.rand(1, 2, 8, 8) * 0.2  # a fourth of the gray's size, and less than VGG16 can look at
    gray = torch.rand(1, 1, 16, 16)
    assert mix(truth, truth, gray)["total"].item() == 0
    painted = torch.zeros_like(truth).requires_grad_()
    mix(painted, truth, gray)["total"].backward()
    assert painted.grad.abs().sum() > 0
    assert painted.grad.isfinite().all()


def test_a_gray_picture_wants_colour_without_dividing_by_nothing():
    painted = torch.zeros(1, 2, 8, 8, requires_grad=True)
    found = _losses.OnePass(losses={"colorfulness": 1.0}).mix(painted, painted, torch.zeros(1, 1, 8, 8))["total"]
    assert found.item() == pytest.approx(1, abs=1e-2)
    found.backward()
    assert painted.grad.isfinite().all()


def test_what_looks_at_pictures_of_ab_wants_labs_own_gray():
    assert Model(Model.Config(losses={"perceptual": 1.0})).gray_convention == "lab"
    assert Model(Model.Config(losses={"perceptual": 1.0}, target="rgb")).gray_convention is None


def test_an_rgb_target_has_three_channels():
    model = Model(Model.Config(net=ColorNet.Config(depth=1, filters=4), target="rgb"))
    assert model.net(GRAY).shape[1] == 3
    assert model.procedure.target == "rgb"
    with pytest.raises(ValueError, match="target 'hsv': choose ab or rgb"):
        Model.Config(target="hsv")


def test_families_are_found_by_file():
    assert {"unet", "classify"} <= set(models.family_names())
    with pytest.raises(LookupError, match="no model family 'gan'; there are"):
        models.load_family("gan")
