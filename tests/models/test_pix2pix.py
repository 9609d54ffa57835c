"""pix2pix: the paper's players, their game, and how the generator is used when it is over."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from photochrom.models._adversarial import OBJECTIVES, Discriminator, Generator, field_of, mirrored
from photochrom.models.pix2pix import Model
from photochrom.training.export import tuned
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


def test_the_papers_players_have_the_papers_sizes():
    assert count(Generator(Generator.Config(), 2)) == pytest.approx(54.41e6, rel=1e-3)
    assert count(Discriminator(3, 64, 70)) == pytest.approx(2.77e6, rel=2e-3)


@pytest.mark.parametrize("patch", [7, 16, 34, 70])
def test_each_judgement_sees_a_patch_and_nothing_else(patch):
    net = Discriminator(3, 2, patch).eval()
    picture = torch.rand(1, 3, 160, 160, requires_grad=True)
    judged = net(picture)
    judged[0, 0, judged.shape[2] // 2, judged.shape[3] // 2].backward()
    seen = picture.grad[0].abs().sum(0) > 0
    assert [int(seen.any(axis).sum()) for axis in (0, 1)] == [patch, patch]


def test_patches_that_no_number_of_halvings_gives_are_refused():
    assert [field_of(n) for n in range(6)] == [7, 16, 34, 70, 142, 286]
    with pytest.raises(RecipeError, match="patch 64: choose one of 7, 16, 34, 70, 142, 286"):
        model(patch=64)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"generator": "resnet"}, "generator 'resnet': choose one of unet, colornet"),
        ({"objective": "wasserstein"}, "objective 'wasserstein': choose one of log, least-squares"),
        ({"adversarial": 0.0}, "adversarial 0.0: must be above 0"),
        ({"adversarial": float("inf")}, "adversarial inf: must be above 0"),
        ({"losses": {"l3": 1.0}}, "give finite weights of 0 or more to some of l1, l2"),
        ({"net": {**NET, "test": "train"}}, "test 'train': choose one of paper, eval"),
        ({"net": {**NET, "dropped": 3}}, "dropped 3: must be from 0 to 2"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, said):
    with pytest.raises(RecipeError, match=said):
        model(**settings)


def test_objectives_are_the_cross_entropy_and_the_squared_distance():
    judged = torch.randn(4, 1, 3, 3)
    for true in (True, False):
        wanted = torch.full_like(judged, float(true))
        found = OBJECTIVES["log"](judged, true)
        assert torch.allclose(found, F.binary_cross_entropy_with_logits(judged, wanted))
        assert torch.allclose(OBJECTIVES["least-squares"](judged, true), F.mse_loss(judged, wanted))


def test_on_paper_a_photograph_is_its_own_batch():
    """With dropout, and the statistics of a batch of one; in a larger batch too."""
    net = Generator(Generator.Config(**NET), 2)
    gray, noise = torch.rand(3, 1, 32, 32), torch.randn(3, net.planes, 32, 32)
    together = net.eval()(gray, noise)
    with torch.no_grad():
        alone = net.train()(gray[1:2], noise[1:2])  # batch norm of one, as the paper's own code runs it
    assert torch.allclose(together[1:2], alone, atol=1e-5)
    assert not torch.allclose(net.eval()(gray, -noise), together, atol=1e-3)


def test_half_of_the_features_are_dropped_where_it_is_asked_for():
    net = Generator(Generator.Config(downs=4, filters=16, dropped=2), 2)
    first, second = net._kept(torch.randn(2, net.planes, 64, 64))
    assert first.shape == (2, 32, 16, 16)
    assert second.shape == (2, 16, 32, 32)
    for kept in (first, second):
        assert set(kept.unique().tolist()) == {0.0, 2.0}
        assert kept.mean().item() == pytest.approx(1, abs=0.05)


def test_in_eval_mode_nothing_is_drawn():
    net = Generator(Generator.Config(**NET, test="eval"), 2).eval()
    gray = torch.rand(2, 1, 32, 32)
    assert list(net.inputs) == ["gray"]
    assert torch.equal(net(gray), net(gray))
    assert torch.allclose(net(gray)[:1], net(gray[:1]), atol=1e-6)


def test_the_mode_is_a_setting_that_needs_no_other_weights():
    recipe = parse({"model": {"family": "pix2pix", "net": NET, "patch": 16, "width": 4}})
    paper = Model(recipe.model)
    assert paper.procedure.noise
    assert paper.procedure.stochastic
    plain, _ = tuned(paper, recipe, ["model.net.test=eval"])
    assert not plain.procedure.stochastic


@pytest.mark.parametrize("size", [(33, 47), (16, 16), (17, 64), (1, 5)])
def test_sides_need_not_divide(size):
    net = Generator(Generator.Config(**NET), 2).eval()
    gray, noise = torch.rand(1, 1, *size), torch.randn(1, net.planes, *size)
    h, w = size
    painted = net(gray, noise)
    assert painted.shape == (1, 2, *size)
    assert torch.allclose(painted, net(mirrored(gray, 16), mirrored(noise, 16))[:, :, :h, :w], atol=1e-5)


def test_what_is_added_is_a_mirror():
    x = torch.rand(1, 2, 10, 13)
    assert torch.equal(mirrored(x, 16), F.pad(x, (0, 3, 0, 6), mode="reflect"))
    assert torch.equal(mirrored(x[:, :, :1], 4), x[:, :, :1].expand(-1, -1, 4, -1)[:, :, :, [*range(13), 11, 10, 9]])


def test_a_judge_of_patches_larger_than_the_picture_says_so():
    players = model(patch=142)
    with pytest.raises(ValueError, match="32 x 32 px to be judged: too small for patches of 142: choose a smaller"):
        players.loss("discriminator", *pair())
    for patch, minimum_size in ((16, 6), (34, 12)):
        net = Discriminator(3, 2, patch).eval()
        assert net(torch.rand(1, 3, minimum_size, minimum_size)).shape == (1, 1, 1, 1)


def test_what_was_painted_is_judged_and_not_painted_again():
    players, (gray, color) = model(), pair()
    calls = []
    players.generator.register_forward_hook(lambda *given: calls.append(given))
    players.loss("generator", gray, color)
    players.loss("discriminator", gray, color)
    assert len(calls) == 1
    players.loss("discriminator", gray, color)
    assert len(calls) == 2


def test_losses_by_hand():
    players, (gray, color) = model(adversarial=0.5, losses={"l1": 10.0}), pair()
    players.eval()
    torch.manual_seed(3)
    found = players.loss("generator", gray, color)
    torch.manual_seed(3)
    painted = players.generator(gray)
    judged, true = (players.discriminator(torch.cat([gray, x], 1)) for x in (painted, color))
    bce = F.binary_cross_entropy_with_logits
    wanted = 10 * (painted - color).abs().mean() + 0.5 * bce(judged, torch.ones_like(judged))
    assert torch.allclose(found["total"], wanted)
    half = (bce(true, torch.ones_like(true)) + bce(judged, torch.zeros_like(judged))) / 2
    assert torch.allclose(players.loss("discriminator", gray, color)["total"], half)


def test_the_least_side_that_can_be_judged_is_told():
    small = model(generator="colornet", color={"depth": 3, "filters": 4, "widths": [8]})  # paints at a fourth
    for players, least in ((model(), 6), (model(patch=70), 24), (small, 24)):
        assert players.minimum_size == least
        players.loss("generator", *pair(2, max(16, least)))  # what divides by 16, or by 8
    with pytest.raises(ValueError, match="4 x 4 px to be judged: too small for patches of 16"):
        small.loss("generator", *pair(2, 16))


def test_the_judge_alone_may_teach():
    players, (gray, color) = model(losses={"l1": 0.0}), pair()
    found = players.loss("generator", gray, color)
    assert set(found) == {"total", "deceives"}
    assert torch.equal(found["total"], found["deceives"])


def test_what_the_discriminator_says_is_logged():
    players, (gray, color) = model(), pair()
    players.loss("generator", gray, color)
    painted = players.last[1]
    with torch.no_grad():
        wanted = (
            players.discriminator(torch.cat([gray, color], 1)),
            players.discriminator(torch.cat([gray, painted], 1)),
        )
    found = players.loss("discriminator", gray, color)
    for name, judged in zip(("on_true", "on_painted"), wanted, strict=True):
        assert found[name].item() == pytest.approx(judged.mean().item(), abs=1e-5)


def test_one_that_knows_imagenet_may_paint():
    players, (gray, color) = model(generator="colornet", color={"depth": 2, "filters": 4}), pair()
    assert players.learning_rates("generator") == {"encoder.": 1.0}
    assert players.learning_rates("discriminator") == {}
    players.loss("generator", gray, color)["total"].backward()
    assert all(p.grad is not None for p in players.generator.parameters())
    assert not players.procedure.stochastic


def test_a_player_that_wins_outright_is_named():
    players = model()
    means = {"discriminator/true_right": 0.7, "discriminator/painted_right": 0.8}
    assert not list(players.diagnostics(means))
    assert "the discriminator has won" in next(players.diagnostics(dict.fromkeys(means, 0.99)))
    assert "the discriminator has lost" in next(players.diagnostics({**means, "discriminator/true_right": 0.01}))
    assert not list(players.diagnostics({}))
    gentle = model(objective="least-squares")
    assert "least-squares" not in next(gentle.diagnostics(dict.fromkeys(means, 0.99)))


def test_first_weights_are_the_papers():
    net = Model(Model.Config()).generator
    convs = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    assert all(abs(conv.weight.std().item() - 0.02) < 2e-3 for conv in convs)
