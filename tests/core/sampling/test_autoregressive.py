"""Coarse colors and sampling them one after the other, on networks made of formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from photochrom.core.resample import average_pool, upsample_nearest
from photochrom.core.sampling import describe, load_procedure
from photochrom.core.sampling.autoregressive import (
    START_OF_ROW,
    Autoregressive,
    bin_centers,
    channel_last,
    coarse_indices,
    make_coarse,
)
from photochrom.core.sampling.procedure import HintMap
from photochrom.inference.onnx import SeededNoise

BYTES = (np.arange(256) / 127.5 - 1).astype(np.float32)


def test_coarse_indices_are_the_high_bits_of_bytes():
    """8 to 3 bits is floor(x / 32), and red counts most: 64 R + 8 G + B."""
    rgb = np.stack([BYTES, BYTES[::-1], np.full_like(BYTES, BYTES[200])], -1)
    x = np.arange(256)
    np.testing.assert_array_equal(coarse_indices(rgb), 64 * (x // 32) + 8 * ((255 - x) // 32) + 200 // 32)


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_bin_centers_round_trip(bits):
    colors = bin_centers(BYTES, bits)
    assert colors.shape == (8**bits, 3)
    assert colors.dtype == np.float32
    np.testing.assert_array_equal(coarse_indices(colors, bits), np.arange(8**bits))
    np.testing.assert_allclose(colors.mean(0), 0, atol=1e-6)  # neither darker nor lighter on the whole


@pytest.mark.parametrize("bits", [1, 2, 3, 4])
def test_coarse_images_have_the_colors_of_their_indices(bits):
    image = np.random.default_rng(0).uniform(-1.2, 1.2, (2, 3, 5, 7)).astype(np.float32)
    coarse = make_coarse(image, bits)
    assert coarse.dtype == np.float32
    np.testing.assert_array_equal(
        channel_last(coarse), bin_centers(image, bits)[coarse_indices(channel_last(image), bits)]
    )
    assert np.array_equal(make_coarse(torch.from_numpy(image), bits), coarse)


@given(arrays(np.float32, (4, 3), elements=st.floats(-3, 3, width=32)))
def test_a_color_is_inside_its_bin(rgb):
    centers = bin_centers(rgb)[coarse_indices(rgb)]
    assert (abs(centers - rgb.clip(-1, 1)) <= 1 / 8 + 1e-6).all()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": 0}, "temperature 0: must be above 0"),
        ({"temperature": -1.0}, "greedy takes the most likely colors"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"temperature": 1e-39}, "temperature 1e-39"),
        ({"stages": ()}, "choose one or more of core, color, spatial"),
        ({"stages": ("core", "spatial")}, "in order, no gap"),
        ({"stages": ("paint",)}, "paint"),
        ({"solver": "beam"}, "solver 'beam': choose one of sample, greedy"),
        ({"bits": 5}, "bits 5"),
        ({"factor": 0}, "factor 0"),
    ],
)
def test_wrong_settings_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        Autoregressive(**settings)


def test_description_round_trip():
    procedure = Autoregressive(("core",), 2, temperature=0.7)
    assert load_procedure(describe(procedure)) == procedure
    assert procedure.capabilities.network_names == ("encoder", "row", "pixel", "outer")
    assert Autoregressive(guided=True).capabilities.network_names == (
        "guide",
        "encoder",
        "row",
        "pixel",
        "outer",
        "color",
        "spatial",
    )
    assert not Autoregressive(("color",)).capabilities.colorizes


class Toy(dict):
    """Networks whose logits are ``table``, plus ``echo`` for the color of the pixel before; they record their calls."""

    def __init__(self, table, echo=0.0):
        super().__init__({name: self.recorded(name) for name in ("encoder", "row", "pixel", "outer")})
        self.table, self.echo, self.calls = np.asarray(table, np.float32), echo, []

    def recorded(self, name):
        def net(**inputs):
            self.calls.append((name, {key: array.shape for key, array in inputs.items()}))
            return getattr(self, name)(**inputs)

        return net

    def encoder(self, gray):
        b, _, h, w = gray.shape
        empty = np.zeros((b, 0, w, 1), np.float32)
        return np.zeros((b, h, w, 3), np.float32), gray[:, :, 0, 0], np.zeros((b, w, 1), np.float32), empty

    def row(self, context, above):
        return context, np.zeros((len(context), 0, 1), np.float32)

    def pixel(self, color, condition, norms, past):
        assert (past.shape[1] == 0) == (color == START_OF_ROW).all()
        logits = np.broadcast_to(self.table, (len(color), self.table.size)).copy()
        logits[range(len(color)), coarse_indices(color, 1)] += self.echo * (color[:, 0] > START_OF_ROW)
        return logits, color[:, :1]

    def outer(self, color, context, norms, past):
        return color[..., :1], color[..., :1]


class OneSize(HintMap):
    """Hints at a single size."""

    def at(self, height, width):
        assert self.weight.shape[2:] == (height, width)
        return self


GRAY = np.zeros((2, 1, 8, 12), np.float32)
CORE = Autoregressive(("core",), factor=2, bits=1)


def test_networks_are_called_once_an_image_a_row_or_a_pixel():
    toy = Toy(np.zeros(8))
    CORE(toy, GRAY, SeededNoise([0, 1]))
    names = [name for name, _ in toy.calls]
    assert {name: names.count(name) for name in set(names)} == {"encoder": 1, "row": 4, "pixel": 24, "outer": 4}
    pasts = [shapes["past"][1] for name, shapes in toy.calls if name in ("pixel", "outer")]
    assert pasts == [past for row in range(4) for past in (*range(6), row)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_sampled_colors_have_the_distribution_of_the_logits(temperature):
    table = np.log([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02])
    procedure = Autoregressive(("core",), factor=1, bits=1, temperature=temperature)
    gray = np.zeros((4, 1, 40, 40), np.float32)
    drawn = coarse_indices(np.moveaxis(procedure.sample_coarse(Toy(table), gray, SeededNoise(range(4))), 1, -1), 1)
    expected = np.exp(table / temperature)
    expected *= drawn.size / expected.sum()
    counts = np.bincount(drawn.ravel(), minlength=8)
    assert (((counts - expected) ** 2 / expected).sum()) < 24.3  # chi-square of 7 degrees, one in a thousand


def test_greedy_takes_the_most_likely_color_as_does_sampling_at_a_low_temperature():
    table = np.arange(8) / 10
    greedy = Autoregressive(("core",), 2, 1, solver="greedy")
    cold = Autoregressive(("core",), 2, 1, temperature=1e-3)
    coarse = greedy.sample_coarse(Toy(table), GRAY, SeededNoise([0, 1]))
    assert (coarse_indices(np.moveaxis(coarse, 1, -1), 1) == 7).all()
    np.testing.assert_array_equal(coarse, cold.sample_coarse(Toy(table), GRAY, SeededNoise([0, 1])))
    assert cold.capabilities.stochastic
    assert not greedy.capabilities.stochastic


def test_a_seed_gives_the_same_image_in_any_batch():
    table = np.zeros(8)
    both = CORE.sample_coarse(Toy(table), GRAY, SeededNoise([5, 6]))
    assert (both[0] != both[1]).any()
    np.testing.assert_array_equal(CORE.sample_coarse(Toy(table), GRAY[:1], SeededNoise([6]))[0], both[1])


def test_hinted_pixels_have_the_hint_and_later_pixels_depend_on_it():
    """The toy repeats the color before it: from the hinted pixel on, its row has that color."""
    weight = np.zeros((1, 1, 8, 12), np.float32)
    weight[..., 2:4, 4:6] = 1
    hints = OneSize(weight * np.array([0.4, 0.3], np.float32)[:, None, None], weight)
    toy = Toy(np.eye(8)[0], echo=9.0)
    greedy = Autoregressive(("core",), 2, 1, solver="greedy")
    free, hinted = (
        coarse_indices(np.moveaxis(greedy.sample_coarse(toy, GRAY, SeededNoise([0, 1]), p), 1, -1), 1)
        for p in (None, hints)
    )
    assert (free == 0).all()
    assert (hinted[:, 1, 2:] == hinted[0, 1, 2]).all()
    assert hinted[0, 1, 2] == 0b100  # red at middle gray: of the three channels, that alone is light
    assert (hinted[:, 1, :2] == 0).all()
    assert (hinted[:, [0, 2, 3]] == 0).all()


def nan_at(column, pixel):
    def net(past, **inputs):
        logits, cache = pixel(past=past, **inputs)
        return (logits * np.float32(np.nan) if past.shape[1] == column else logits), cache

    return net


def test_nan_is_not_taken_for_a_color():
    """The argmax of NaN would be the first color. One pixel is enough, the first, one inside or the last."""
    for column in (0, 2, 5):
        toy = Toy(np.zeros(8))
        toy["pixel"] = nan_at(column, toy["pixel"])
        with pytest.raises(FloatingPointError, match="NaN"):
            CORE(toy, GRAY, SeededNoise([0, 1]))
    spatial = {"spatial": lambda gray, plane, channel: plane * np.float32(np.nan)}
    with pytest.raises(FloatingPointError, match="NaN"):
        list(Autoregressive(("spatial",), 2).restore(spatial, np.zeros((2, 3, 8, 12), np.float32), GRAY))


def test_two_hints_in_one_coarse_pixel_are_averaged():
    gray = np.zeros((1, 1, 4, 4), np.float32)
    ab, weight = np.zeros((1, 2, 4, 4), np.float32), np.zeros((1, 1, 4, 4), np.float32)
    ab[0, 0, :2, :2], weight[..., :2, :2] = [[0.9, 0.5], [0.7, 0.7]], 1
    hinted, indices = Autoregressive(factor=2)._hint_indices(gray, OneSize(ab, weight))
    assert hinted.tolist() == [[[True, False], [False, False]]]
    red, green, blue = bin_centers(gray)[indices[0, 0, 0]]
    assert red > max(green, blue)


def test_nll_is_minus_the_log_likelihood_of_each_color():
    table = np.log([0.4, 0.2, 0.1, 0.1, 0.1, 0.05, 0.03, 0.02])
    color = np.random.default_rng(0).uniform(-1, 1, (2, 3, 8, 12)).astype(np.float32)
    true = coarse_indices(np.moveaxis(average_pool(color, 2), 1, -1), 1)
    np.testing.assert_allclose(CORE.nll(Toy(table), GRAY, color), -table[true], rtol=1e-5)


def test_an_image_too_large_for_the_memory_is_refused():
    gray = np.zeros((1, 1, 512, 512), np.float32)
    with pytest.raises(ValueError, match=r"512 x 512 pixels: too large for the spatial stage.*--size"):
        Autoregressive()({}, gray, SeededNoise([0]))
    with pytest.raises(ValueError, match="512 x 512 pixels: both sides must divide by 3"):
        Autoregressive(factor=3)({}, gray, SeededNoise([0]))


def test_stages_without_a_core_refine_a_given_image():
    nets = {"spatial": lambda gray, plane, channel: plane * 0.5 + channel}
    image = upsample_nearest(np.random.default_rng(0).random((2, 3, 4, 6), np.float32), 2)
    begin, end = Autoregressive(("spatial",), 2).restore(nets, image, GRAY)
    np.testing.assert_array_equal(begin, image)
    np.testing.assert_allclose(end, image * 0.5 + np.arange(3)[:, None, None])
