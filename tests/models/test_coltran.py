"""ColTran: causality, likelihood, sizes, the later stages, and merging of stages."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from photochrom.core.resample import average_pool
from photochrom.core.sampling.autoregressive import Autoregressive, bin_centers, channel_last
from photochrom.inference.onnx import OnnxNet, SeededNoise
from photochrom.models._blocks import ColorNet
from photochrom.models.coltran.axial import Attention, Axial, Layer, Norms, PositionEmbedding
from photochrom.models.coltran.core import Core, CoreConfig
from photochrom.models.coltran.model import Model, Upsampler
from photochrom.training.graph import export_network
from photochrom.training.loop import parameter_groups
from photochrom.training.pretrained import initialize
from photochrom.training.recipe import Optimizer
from photochrom.training.validation import torch_nets, torch_noise

CONDITIONAL = CoreConfig().conditional
SHAPE = Axial(width=8, heads=2, side=4)
GUIDE = ColorNet.Config(depth=2, filters=4, widths=(4,))  # features at stride 2
VARIANTS = list(product(("axial", "full"), (CONDITIONAL, ("norm",), ())))


def core(attention="axial", conditional=CONDITIONAL, factor=1, guided=False):
    """A small core with noise on all initial weights."""
    torch.manual_seed(0)
    shape = replace(SHAPE, attention=attention)
    config = CoreConfig(shape, 1, 2, 2, conditional, guide=GUIDE)
    net = Core(config, Autoregressive(("core",), factor, bits=1, guided=guided)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return net


def images(h=4, w=5, count=1, seed=1):
    torch.manual_seed(seed)
    return torch.rand(count, 1, h, w) * 2 - 1, torch.rand(count, 3, h, w) * 2 - 1


@pytest.mark.parametrize(("attention", "conditional"), VARIANTS)
@torch.no_grad()
def test_logits_depend_on_earlier_pixels_only(attention, conditional):
    """The color of one pixel is changed: logits up to and at it stay, all later ones change."""
    net, (gray, color) = core(attention, conditional), images()
    coarse = channel_last(color)
    before = net.logits(gray, coarse)[1]
    for row, column in product(range(4), range(5)):
        other = coarse.clone()
        other[:, row, column] *= -1
        change = (net.logits(gray, other)[1] - before).abs().amax((0, 3)).flatten()
        position = row * 5 + column
        assert change[: position + 1].max() == 0
        if position < 19:
            assert change[position + 1] > 1e-7
        if row < 3:
            assert (change[(row + 1) * 5 :] > 1e-8).all()  # all rows below, through the outer decoder


@pytest.mark.parametrize(("attention", "conditional"), VARIANTS)
@torch.no_grad()
def test_outer_decoder_depends_on_no_row_below(attention, conditional):
    net, (gray, color) = core(attention, conditional), images()
    context, norms, _, _ = net.encoder(gray)
    coarse = channel_last(color)
    before, _ = net.outer.rows(coarse, context, norms)
    for row, column in product(range(4), range(5)):
        other = coarse.clone()
        other[:, row, column] *= -1
        change = (net.outer.rows(other, context, norms)[0] - before).abs().amax((0, 2, 3))
        assert not change[:row].any()
        assert (change[row:] > 1e-8).all()


@torch.no_grad()
def test_first_pixel_of_a_row_depends_on_no_color_in_its_row():
    net, (gray, color) = core(), images()
    before = net.logits(gray, channel_last(color))[1]
    net.pixel.embed.weight.normal_()
    after = net.logits(gray, channel_last(color))[1]
    assert torch.equal(before[:, :, 0], after[:, :, 0])
    assert not torch.equal(before[:, :, 1], after[:, :, 1])


@pytest.mark.slow
@pytest.mark.parametrize(("attention", "conditional", "guided"), [("full", (), False), ("axial", CONDITIONAL, True)])
def test_exported_networks_sample_what_torch_samples(attention, conditional, guided):
    """The same colors, and the same likelihood of true colors."""
    net, (gray, color) = core(attention, conditional, factor=2, guided=guided), images(16, 24, count=2)
    nets = torch_nets(model_of(net))
    exported = {name: OnnxNet(export_network(part)[0], 1) for name, part in model_of(net).networks().items()}
    noises = [SeededNoise([3, 4]) for _ in range(2)]
    ours = net.sampling.sample_coarse(exported, gray.numpy(), noises[0])
    expected = net.sampling.sample_coarse(
        nets, gray, lambda like, *kind: torch.from_numpy(noises[1](like.numpy(), *kind))
    )
    np.testing.assert_array_equal(ours, expected.numpy())
    nats = net.sampling.nll(exported, gray.numpy(), color.numpy())
    np.testing.assert_allclose(nats, net.sampling.nll(nets, gray, color).numpy(), atol=1e-4)


def model_of(net):
    """A model with this core."""
    model = Model(Model.Config(sampling=net.sampling, core=net.config))
    model.core = net
    return model


@pytest.mark.parametrize(
    ("attention", "conditional", "guided"), [*((*v, False) for v in VARIANTS), (*VARIANTS[0], True)]
)
@pytest.mark.parametrize("size", [(4, 4), (6, 4), (2, 8)])
@torch.no_grad()
def test_stepwise_likelihood_equals_the_parallel_one(attention, conditional, guided, size):
    """At the training size and at others: the caches hold all that attention needs."""
    net = core(attention, conditional, factor=2, guided=guided)
    gray, color = images(2 * size[0], 2 * size[1], count=2)
    steps = net.sampling.nll(torch_nets(model_of(net)), gray, color)
    assert steps.shape == (2, *size)
    nats = net.bits_per_dim(gray, color) * 3 * np.log(2)
    torch.testing.assert_close(steps.mean((1, 2)), nats, rtol=0, atol=1e-4)


def test_loss_is_the_mean_nll_and_a_share_of_the_parallel_head():
    net, (gray, color) = core(), images(count=2)
    result = net.loss(gray, color)
    torch.testing.assert_close(result["total"], 0.99 * result["autoregressive"] + 0.01 * result["parallel"])
    nats = net.bits_per_dim(gray, color).mean() * 3 * np.log(2)
    torch.testing.assert_close(result["autoregressive"], nats)
    alone = Core(replace(net.config, parallel=0.0), net.sampling)
    assert set(alone.loss(gray, color)) == {"total", "autoregressive"}


@pytest.mark.parametrize("axis", ["row", "column", "both"])
@pytest.mark.parametrize("masked", [False, True])
@torch.no_grad()
def test_attention_equals_that_of_torch_over_lines(axis, masked):
    torch.manual_seed(0)
    layer, x = Attention(SHAPE, axis, masked), torch.randn(2, 4, 3, 8)
    for bias in layer.bias.values():
        bias.normal_()
    lines = {"row": x.flatten(0, 1), "column": x.transpose(1, 2).flatten(0, 1), "both": x.flatten(1, 2)}[axis]
    asked = layer.ask(lines).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
    places = {"row": [(0, i) for i in range(3)], "column": [(i, 0) for i in range(4)]}.get(
        axis, list(product(range(4), range(3)))
    )
    mask = torch.zeros(2, len(places), len(places))
    for i, (here, j) in product(range(len(places)), enumerate(places)):
        down, across = j[0] - places[i][0], j[1] - places[i][1]
        for way, apart in (("down", down), ("across", across)):
            if way in layer.bias:
                mask[:, i, here] += layer.bias[way][:, apart + SHAPE.side - 1]
        if masked and (across if axis == "row" else down) > 0:
            mask[:, i, here] = -torch.inf
    expected = layer.answer(F.scaled_dot_product_attention(*asked, attn_mask=mask).transpose(1, 2).flatten(2))
    result = layer(x)[0]
    result = result.transpose(1, 2) if axis == "column" else result
    torch.testing.assert_close(result.reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_conditional_layers_follow_the_paper():
    """z_c = (c U_s) z + (c U_b) for q, k, v; the perceptron's output likewise; norms are given scale and shift."""
    torch.manual_seed(0)
    layer, x, condition, norms = (
        Layer(SHAPE, "row", conditional=CONDITIONAL),
        torch.randn(1, 1, 3, 8),
        torch.randn(1, 1, 3, 64),
        torch.randn(1, 2, 16),
    )
    scale, shift = condition[..., :24], condition[..., 24:48]
    query, key, value = (layer.attention.ask(x) * scale + shift).unflatten(-1, (3, 2, 4)).permute(3, 0, 1, 4, 2, 5)
    channels = F.scaled_dot_product_attention(query, key, value).transpose(2, 3).flatten(3)
    normed = F.layer_norm(x + layer.attention.answer(channels), (8,)) * norms[:, 0, :8] + norms[:, 0, 8:]
    changed = layer.perceptron(normed) * condition[..., 48:56] + condition[..., 56:]
    expected = F.layer_norm(normed + changed, (8,)) * norms[:, 1, :8] + norms[:, 1, 8:]
    torch.testing.assert_close(layer(x, condition, norms)[0], expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_norms_take_the_weighted_mean_of_the_context():
    torch.manual_seed(0)
    norms, context = Norms(4, 8, 3), torch.randn(2, 4, 4, 8)
    norms.places.normal_()
    norms.bias.normal_()
    mean = (context[:, None] * norms.places[None, ..., None]).mean((2, 3))
    torch.testing.assert_close(norms(context), torch.einsum("bnd,nde->bne", mean, norms.weight) + norms.bias)


def test_positions_are_interpolated_for_other_sizes():
    positions = PositionEmbedding(4, 1)
    positions.rows.data, positions.columns.data = torch.arange(4.0)[:, None], torch.arange(4.0)[:, None] * 10
    result = positions(8, 2)[..., 0]
    rows = torch.tensor([0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])
    torch.testing.assert_close(result, rows[:, None] + torch.tensor([5.0, 25.0]))
    assert torch.equal(positions(4, 4)[..., 0], torch.arange(4.0)[:, None] + torch.arange(4.0) * 10)
    assert PositionEmbedding(4, 8)(6, 3).shape == (6, 3, 8)


def test_parameter_count_of_the_paper():
    """46.3 M for the core, whose decoders share an embedding there, 13.5 M and 10.9 M, as its configurations make."""
    shape = Axial(width=512, heads=4, side=64)
    config = Model.Config(
        CoreConfig(shape), Upsampler.Config(shape, 4), Upsampler.Config(replace(shape, side=256), 3), Autoregressive()
    )
    with torch.device("meta"):
        model = Model(config)
    sizes = {part: sum(p.numel() for p in model.get_submodule(part).parameters()) for part in model.trainable}
    sizes["core"] -= 512 * 512
    assert {name: round(size / 1e6, 1) for name, size in sizes.items()} == {
        "core": 46.3,
        "color": 13.5,
        "spatial": 10.9,
    }


def stages(*names, width=8, **sampling):
    torch.manual_seed(len(names[0]))
    upsampler = Upsampler.Config(replace(SHAPE, width=width), 1)
    config = Model.Config(
        CoreConfig(SHAPE, 1, 1, 1),
        upsampler,
        upsampler,
        Autoregressive(names, **({"factor": 2, "bits": 2} | sampling)),
    )
    return Model(config).eval()


def test_upsampler_trains_on_one_channel_of_each_image():
    model, (gray, color) = stages("spatial").train(), images(8, 8, count=3)
    channels = set()
    for seed in range(8):
        torch.manual_seed(seed)
        model.zero_grad()
        model.loss("spatial", gray, color)["total"].backward()
        rows = model.spatial.channel.weight.grad.abs().sum(1).reshape(3, 256).sum(1) > 0
        channels.add(tuple(rows.tolist()))
    assert all(any(rows) for rows in channels)
    assert (True, False, True) in channels or (True, True, False) in channels or (False, True, True) in channels


@torch.no_grad()
def test_upsampler_evaluates_all_three_channels():
    net, (gray, color) = stages("spatial").spatial, images(8, 8, count=2)
    levels = ((color + 1) * 128).long()
    each = [
        F.cross_entropy(net.logits(gray, color[:, c], torch.full((2,), c)).flatten(0, 2), levels[:, c].flatten())
        for c in range(3)
    ]
    torch.testing.assert_close(net.loss(gray, color, color)["total"], torch.stack(each).mean())


@torch.no_grad()
def test_nan_in_an_upsampler_stays_nan():
    net, (gray, color) = stages("spatial").spatial, images(4, 6)
    net.head.bias[0] = torch.nan
    assert net(gray, color[:, :1], torch.zeros(1)).isnan().all()


@torch.no_grad()
def test_upsampler_picks_the_mean_or_the_likeliest_level():
    net, (gray, color) = stages("spatial").spatial, images(4, 6, count=2)
    for channel in range(3):
        which = torch.full((2,), channel)
        logits = net.logits(gray, color[:, channel], which)
        mean = torch.distributions.Categorical(logits=logits).probs @ torch.arange(256.0)
        for net.pick, level in (("mean", mean), ("likeliest", logits.argmax(-1))):
            result = net(gray, color[:, [channel]], which.float())
            torch.testing.assert_close(result[:, 0], (level + 0.5) / 128 - 1, rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"pick\n.*should be 'mean' or 'likeliest'"):
        type(net).Config(pick="median")


@pytest.mark.parametrize("solver", ["sample", "greedy"])
def test_sampling_waits_for_the_device_once(solver, monkeypatch):
    """A Python value of a tensor makes a GPU wait: none is taken pixel by pixel."""
    model, (gray, _) = stages("core"), images(8, 8)
    values = []
    for name in ("__bool__", "item", "tolist", "__float__", "__int__", "__index__"):
        method = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda tensor, m=method: values.append(tensor) or m(tensor))
    procedure = replace(model.procedure, solver=solver)
    with torch.no_grad():
        procedure.sample_coarse(torch_nets(model), gray, torch_noise(0))
    assert len(values) == 1


def test_later_stages_get_true_colors_made_coarse_and_small():
    model, (_, color) = stages("core"), images(8, 8)
    small = average_pool(color, 2)
    assert torch.equal(model.stage_input("spatial", color), small)
    coarse = channel_last(model.stage_input("color", color))
    assert (abs(coarse - channel_last(small)) <= 1 / 4 + 1e-6).all()
    assert all(c in bin_centers(small, 2) for c in coarse.reshape(-1, 3))


@torch.no_grad()
def test_merged_stages_have_the_losses_of_their_runs():
    parts = {f"runs/{name}": stages(name, width=w) for name, w in (("spatial", 4), ("core", 8), ("color", 6))}
    model = Model.merge_stages(parts)
    assert model.trainable == ("core", "color", "spatial")
    assert model.config.spatial == parts["runs/spatial"].config.spatial
    gray, color = images(8, 8)
    for name in model.trainable:
        torch.manual_seed(3)
        expected = parts[f"runs/{name}"].loss(name, gray, color)["total"]
        torch.manual_seed(3)
        assert torch.equal(model.loss(name, gray, color)["total"], expected)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"a": stages("color")}, "a: its stage color needs core: give that run too"),
        ({"a": stages("core"), "b": stages("spatial")}, "b: its stage spatial needs color: give that run too"),
        ({"a": stages("core"), "b": stages("core", "color")}, "b: has the stage core, and so has a"),
        ({"a": stages("core"), "b": stages("color", bits=3)}, "b: sampling.bits = 3, but 2 in a: stages must agree"),
        ({"a": stages("core"), "b": stages("color", factor=4)}, "b: sampling.factor = 4, but 2 in a"),
    ],
)
def test_stages_that_do_not_fit_are_rejected_by_name(parts, message):
    with pytest.raises(ValueError, match=message):
        Model.merge_stages(parts)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Axial(width=10, heads=4), "width 10, heads 4: the heads must divide the width"),
        (lambda: Axial(attention="local"), r"attention\n.*should be 'axial' or 'full'"),
        (lambda: CoreConfig(inner=0), r"inner\n.*greater than or equal to 1"),
        (lambda: CoreConfig(conditional=("mlp", "head")), r"conditional.1\n.*should be 'attention', 'mlp' or 'norm'"),
        (lambda: CoreConfig(parallel=1.0), r"parallel\n.*less than 1"),
        (lambda: CoreConfig(guide_rate=-1), r"guide_rate\n.*greater than or equal to 0"),
        (lambda: Upsampler.Config(layers=0), r"layers\n.*greater than or equal to 1"),
        (
            lambda: Core(CoreConfig(SHAPE, guide=GUIDE), Autoregressive(factor=3, guided=True)),
            "factor 3: must divide by 2",
        ),
    ],
)
def test_invalid_settings_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_guide_that_is_not_trained_needs_init():
    config = CoreConfig(SHAPE, 1, 1, 1, guide=GUIDE)
    model = Model(Model.Config(config, sampling=Autoregressive(("core",), 2, guided=True)))
    with pytest.raises(ValueError, match=r"no --init: .* frozen weights of this model .* family unet or classify"):
        initialize(model, None)
    learning = replace(config, guide_rate=0.1)
    initialize(Model(Model.Config(learning, sampling=Autoregressive(("core",), 2, guided=True))), None)


def test_biases_do_not_decay():
    model = stages("core")
    groups = parameter_groups(model, "core", Optimizer(weight_decay=0.1))
    decaying = {id(p) for group in groups if group["weight_decay"] for p in group["params"]}
    names = {name for name, p in model.core.named_parameters() if id(p) in decaying}
    assert "pixel.layers.0.attention.ask.weight" in names
    assert not [name for name in names if "bias" in name]
