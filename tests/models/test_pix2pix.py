"""pix2pix: generator, discriminator, their losses, and the generator outside training."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from photochrom.backbones.efficientnet import frozen_pyramid
from photochrom.models.pix2pix import PATCHES, Discriminator, Generator, Model, mirror_pad
from photochrom.training.export import change_settings
from photochrom.training.recipe import RecipeError, parse

NET = {"downs": 4, "filters": 4, "dropped": 2}


def count(net):
    return sum(p.numel() for p in net.parameters())


def model(**settings):
    torch.manual_seed(0)
    return Model(parse({"model": {"family": "pix2pix", "net": NET, "patch": 16, "width": 4, **settings}}).model)


def pair(batch=2, side=32):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(batch, 1, side, side, generator=generator), torch.rand(batch, 2, side, side, generator=generator)


def test_networks_have_the_sizes_of_the_paper():
    assert count(Generator(Generator.Config(), 2)) == pytest.approx(54.41e6, rel=1e-3)
    assert count(Discriminator(2, 64, 70)) == pytest.approx(2.77e6, rel=2e-3)


@pytest.mark.parametrize("patch", PATCHES)
def test_receptive_field_is_the_patch(patch):
    net = Discriminator(2, 2, patch).eval()
    image = torch.rand(1, 3, 3 * patch, 3 * patch, requires_grad=True)
    scores = net(*image.split([1, 2], 1))
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    visible = image.grad[0].abs().sum(0) > 0
    assert [int(visible.any(axis).sum()) for axis in (0, 1)] == [patch, patch]


def test_impossible_patches_are_rejected():
    with pytest.raises(RecipeError, match=r"model\.patch = 64: Input should be 7, 16, 34, 70, 142 or 286"):
        model(patch=64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"generator": "resnet"}, "model.generator = 'resnet': Input should be 'unet' or 'colornet'"),
        ({"objective": "wasserstein"}, "model.objective = 'wasserstein': Input should be 'log' or 'least-squares'"),
        ({"adversarial": 0.0}, "model.adversarial = 0.0: Input should be greater than 0"),
        ({"adversarial": float("inf")}, "model.adversarial = inf: Input should be a finite number"),
        ({"losses": {"l1": 0.0}, "discriminator": "projected"}, "needs one with a weight above 0"),
        ({"losses": {"l3": 1.0}}, "give weights to some of l1, l2"),
        ({"net": {**NET, "test": "train"}}, "model.net.test = 'train': Input should be 'paper' or 'eval'"),
        ({"net": {**NET, "dropped": 3}}, "dropped 3: must be at most 2"),
    ],
)
def test_invalid_settings_are_rejected(settings, message):
    with pytest.raises(RecipeError, match=message):
        model(**settings)


def test_objectives_are_cross_entropy_and_squared_distance():
    scores = torch.randn(4, 1, 3, 3)
    for true in (True, False):
        expected = torch.full_like(scores, float(true))
        log, least_squares = (model(objective=name).objective(scores, true) for name in ("log", "least-squares"))
        assert torch.allclose(log, F.binary_cross_entropy_with_logits(scores, expected))
        assert torch.allclose(least_squares, F.mse_loss(scores, expected))


def test_paper_mode_treats_each_image_as_a_batch():
    """With dropout and the statistics of one image, in a larger batch too."""
    net = Generator(Generator.Config(**NET), 2)
    gray, noise = torch.rand(3, 1, 32, 32), torch.randn(3, net.noise_planes, 32, 32)
    together = net.eval()(gray, noise)
    with torch.no_grad():
        alone = net.train()(gray[1:2], noise[1:2])  # a batch of one, as the authors' code runs it
    assert torch.allclose(together[1:2], alone, atol=1e-5)
    assert not torch.allclose(net.eval()(gray, -noise), together, atol=1e-3)


def test_dropout_masks_drop_half_of_the_features():
    net = Generator(Generator.Config(downs=4, filters=16, dropped=2), 2)
    first, second = net.dropout_masks(torch.randn(2, net.noise_planes, 64, 64))
    assert first.shape == (2, 32, 16, 16)
    assert second.shape == (2, 16, 32, 32)
    for mask in (first, second):
        assert set(mask.unique().tolist()) == {0.0, 2.0}
        assert mask.mean().item() == pytest.approx(1, abs=0.05)


def test_eval_mode_is_deterministic():
    net = Generator(Generator.Config(**NET, test="eval"), 2).eval()
    gray = torch.rand(2, 1, 32, 32)
    assert list(net.inputs) == ["gray"]
    assert torch.equal(net(gray), net(gray))
    assert torch.allclose(net(gray)[:1], net(gray[:1]), atol=1e-6)


def test_test_mode_can_change_without_training():
    recipe = parse({"model": {"family": "pix2pix", "net": NET, "patch": 16, "width": 4}})
    paper = Model(recipe.model)
    assert paper.procedure.noise
    assert paper.procedure.capabilities.stochastic
    plain, _ = change_settings(paper, recipe, ["model.net.test=eval"])
    assert not plain.procedure.capabilities.stochastic


@pytest.mark.parametrize("size", [(33, 47), (16, 16), (17, 64), (1, 5)])
def test_any_size_is_accepted(size):
    net = Generator(Generator.Config(**NET), 2).eval()
    gray, noise = torch.rand(1, 1, *size), torch.randn(1, net.noise_planes, *size)
    h, w = size
    fake = net(gray, noise)
    assert fake.shape == (1, 2, *size)
    assert torch.allclose(fake, net(mirror_pad(gray, 16), mirror_pad(noise, 16))[:, :, :h, :w], atol=1e-5)


def test_padding_mirrors():
    x = torch.rand(1, 2, 10, 13)
    assert torch.equal(mirror_pad(x, 16), F.pad(x, (0, 3, 0, 6), mode="reflect"))
    assert torch.equal(mirror_pad(x[:, :, :1], 4), x[:, :, :1].expand(-1, -1, 4, -1)[:, :, :, [*range(13), 11, 10, 9]])


def test_patches_larger_than_the_image_are_rejected():
    family = model(patch=142)
    with pytest.raises(
        ValueError, match="32 x 32 pixels are too small for the discriminator's patches of 142: choose a smaller"
    ):
        family.loss("discriminator", *pair())
    for patch, minimum_size in ((16, 6), (34, 12)):
        net = Discriminator(2, 2, patch).eval()
        assert net(*pair(1, minimum_size)).shape == (1, 1, 1, 1)


def test_discriminator_reuses_the_output_of_the_generator():
    family, (gray, color) = model(), pair()
    calls = []
    family.generator.register_forward_hook(lambda *call: calls.append(call))
    family.loss("generator", gray, color)
    family.loss("discriminator", gray, color)
    assert len(calls) == 1
    family.loss("discriminator", gray, color)
    assert len(calls) == 2


def test_losses_follow_their_formulas():
    family, (gray, color) = model(adversarial=0.5, losses={"l1": 10.0}), pair()
    family.eval()
    torch.manual_seed(3)
    losses = family.loss("generator", gray, color)
    torch.manual_seed(3)
    fake = family.generator(gray)
    scores, true = (family.discriminator(gray, x) for x in (fake, color))
    bce = F.binary_cross_entropy_with_logits
    expected = 10 * (fake - color).abs().mean() + 0.5 * bce(scores, torch.ones_like(scores))
    assert torch.allclose(losses["total"], expected)
    half = (bce(true, torch.ones_like(true)) + bce(scores, torch.zeros_like(scores))) / 2
    assert torch.allclose(family.loss("discriminator", gray, color)["total"], half)


def test_minimum_size_is_that_of_the_discriminator():
    small = model(generator="colornet", color={"depth": 3, "filters": 4, "widths": [8]})  # its output is a quarter
    for family, minimum_size in ((model(), 6), (model(patch=70), 24), (small, 24)):
        assert family.minimum_size == minimum_size
        family.loss("generator", *pair(2, max(16, minimum_size)))  # a multiple of 16, or of 8
    with pytest.raises(ValueError, match="4 x 4 pixels are too small for the discriminator's patches of 16"):
        small.loss("generator", *pair(2, 16))


def test_generator_can_train_on_the_adversarial_loss_alone():
    family, (gray, color) = model(losses={"l1": 0.0}), pair()
    losses = family.loss("generator", gray, color)
    assert set(losses) == {"total", "adversarial"}
    assert torch.equal(losses["total"], losses["adversarial"])


def test_mean_scores_are_logged():
    family, (gray, color) = model(), pair()
    family.loss("generator", gray, color)
    fake = family.last[1]
    with torch.no_grad():
        expected = family.discriminator(gray, color), family.discriminator(gray, fake)
    losses = family.loss("discriminator", gray, color)
    for name, scores in zip(("real_score", "fake_score"), expected, strict=True):
        assert losses[name].item() == pytest.approx(scores.mean().item(), abs=1e-5)


def test_generator_can_be_a_colornet():
    family, (gray, color) = model(generator="colornet", color={"depth": 2, "filters": 4}), pair()
    assert family.learning_rates("generator") == {"encoder.": 1.0}
    family.loss("generator", gray, color)["total"].backward()
    assert all(p.grad is not None for p in family.generator.parameters())
    assert not family.procedure.capabilities.stochastic


@pytest.mark.parametrize("ratio", [0.25, 2.0])
def test_gradient_of_a_projected_discriminator_is_relative_to_that_of_the_losses(ratio):
    family, (gray, color) = model(discriminator="projected", adversarial=ratio), pair(side=64)
    gradients = []
    family.generator.register_forward_hook(lambda net, args, fake: fake.register_hook(gradients.append) and None)
    family.loss("generator", gray, color)["total"].backward()
    assert all(p.grad.any() for p in family.generator.parameters())
    alone = family.last[1].requires_grad_()
    (of_losses,) = torch.autograd.grad(family.config.total_loss(alone, color, gray)["total"], alone)
    of_scores = gradients[-1] - of_losses
    assert of_scores.norm() / of_losses.norm() == pytest.approx(ratio, rel=1e-3)
    (plain,) = torch.autograd.grad(family.discriminator(gray, alone).neg().exp().log1p().mean(), alone)
    assert F.cosine_similarity(of_scores.flatten(), plain.flatten(), dim=0) > 0.99


def test_gradient_of_a_projected_discriminator_scales_with_the_total():
    """As a step on several parts of a batch does, which each count for a part."""
    family, (gray, color) = model(discriminator="projected"), pair(side=64)
    parameter = family.generator.exit.weight
    gradients = []
    for share in (1.0, 0.25):
        torch.manual_seed(0)
        (gradient,) = torch.autograd.grad(share * family.loss("generator", gray, color)["total"], parameter)
        gradients.append(gradient)
    torch.testing.assert_close(gradients[0] / 4, gradients[1], rtol=1e-3, atol=1e-7)


def test_features_of_a_projected_discriminator_are_frozen_and_not_stored():
    family, batch = model(discriminator="projected"), pair(side=64)
    features = frozen_pyramid(torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    family.train()
    for part in family.trainable:
        family.loss(part, *batch)["total"].backward()
    assert all(p.grad is not None for p in family.discriminator.parameters())
    assert not any(p.requires_grad for p in features.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in features.state_dict().items())
    assert all(name.startswith(("generator.", "discriminator.heads.")) for name in family.state_dict())
    assert list(family.networks().values()) == [family.generator]


def test_projected_discriminator_scores_regions_of_the_image_in_color():
    family, (gray, color) = model(discriminator="projected"), pair(side=64)
    assert (family.gray_convention, family.minimum_size) == ("lab", 32)
    assert model(discriminator="projected", target="rgb").gray_convention is None
    scores = family.discriminator(gray, color)
    assert scores.shape == (2, 4 * 2 * 2)  # four heads at stride 32
    assert not torch.allclose(scores, family.discriminator(gray, -color), atol=1e-3)
    with torch.no_grad():  # as in validation
        assert all(family.loss(part, gray, color)["total"].isfinite() for part in family.trainable)


def test_discriminator_has_a_learning_rate_of_its_own():
    family = model(generator="colornet", color={"encoder_rate": 0.3}, discriminator_rate=4.0)
    assert family.learning_rates("generator") == {"encoder.": 0.3}
    assert family.learning_rates("discriminator") == {"": 4.0}


def test_diagnostics_name_an_imbalance():
    family = model()
    means = {"discriminator/real_accuracy": 0.7, "discriminator/fake_accuracy": 0.8}
    assert not list(family.diagnostics(means))
    assert "the discriminator has won" in next(family.diagnostics(dict.fromkeys(means, 0.99)))
    assert "the discriminator has lost" in next(family.diagnostics({**means, "discriminator/real_accuracy": 0.01}))
    assert not list(family.diagnostics({}))
    softer = model(objective="least-squares")
    assert "least-squares" not in next(softer.diagnostics(dict.fromkeys(means, 0.99)))


def test_initial_weights_are_those_of_the_paper():
    net = Model(Model.Config()).generator
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert all(abs(conv.weight.std().item() - 0.02) < 2e-3 for conv in convs)
