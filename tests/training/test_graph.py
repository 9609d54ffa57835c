"""ONNX graphs of networks, checked against torch."""

from contextlib import nullcontext

import pytest
import torch
from torch import nn

from photochrom.models.family import Network
from photochrom.training.graph import ExportError, check, fold_constants, halve_weights, round_weights, trace


class Doubling(Network):
    inputs = {"gray": (1, "h", "w")}  # noqa: RUF012

    def forward(self, gray):
        return gray * 2


@pytest.fixture(scope="module")
def content():
    return halve_weights(fold_constants(trace(Doubling()))).SerializeToString()


def test_a_network_that_onnx_computes_differently_is_refused(content):
    net = Doubling()
    check(net, content)
    net.forward = lambda gray: gray * 2.1
    with pytest.raises(ExportError, match="ONNX and torch differ by"):
        check(net, content)


def test_an_output_that_is_not_a_number_is_refused(content):
    net = Doubling()
    net.forward = lambda gray: gray * float("nan")
    with pytest.raises(ExportError, match="ONNX and torch differ by"):
        check(net, content)


def assert_only_discrete_outputs_fit(net, content, fits):
    """Check that a network agrees with an ONNX file if its output is discrete and ``fits``, not otherwise."""
    with pytest.raises(ExportError):
        check(net, content)
    net.discrete_output = True
    with nullcontext() if fits else pytest.raises(ExportError):
        check(net, content)


@pytest.mark.parametrize(("columns", "fits"), [(1, True), (6, False)])
def test_a_discrete_output_may_differ_in_a_few_values(content, columns, fits):
    net = Doubling()
    net.forward = lambda gray: torch.cat([gray[..., :1] * 2 + 1] * columns + [gray[..., columns:] * 2], -1)
    assert_only_discrete_outputs_fit(net, content, fits)


@pytest.mark.parametrize(("error", "fits"), [(0.004, True), (0.03, False), (float("nan"), False)])
def test_a_discrete_output_may_differ_in_many_values_by_very_little(content, error, fits):
    net = Doubling()
    net.forward = lambda gray: gray * 2 + error
    assert_only_discrete_outputs_fit(net, content, fits)


def test_weights_are_rounded_to_half_precision():
    net = nn.Conv2d(1, 300, 1)
    round_weights(net)
    assert torch.equal(net.weight.data.half().float(), net.weight.data)
    assert torch.equal(net.bias.data.half().float(), net.bias.data)
