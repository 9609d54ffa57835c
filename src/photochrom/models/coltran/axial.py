"""Transformer layers with attention along the rows and columns of images, which are channel last here: (b, h, w, d).

The conditional layers of Kumar, Weissenborn & Kalchbrenner (2021) scale and shift queries, keys and values (cAtt), the
output of the perceptron (cMLP), and layer norms, by the whole context at once (cLN).
"""

from itertools import zip_longest
from typing import Literal

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, nn
from torch.nn import functional as F

from .._settings import Count, Natural


@dataclass(frozen=True)
class Axial:
    """The shape of transformer layers."""

    width: Count = 160  # numbers for each position
    heads: Count = 4  # attention heads, which divide the width
    hidden: Natural = 0  # width inside the perceptron; 0: the same
    side: Count = 32  # side of feature maps in training
    attention: Literal["axial", "full"] = "axial"  # along rows and columns in turn, or "full", at quadratic cost

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width {self.width}, heads {self.heads}: the heads must divide the width")

    def axes(self) -> tuple[str, str]:
        """Return the axes of the attention of two successive layers."""
        return ("row", "column") if self.attention == "axial" else ("both", "both")


def modulate(x: Tensor, modulation: Tensor | None) -> Tensor:
    """Return x times a scale plus a shift, the two halves of the modulation (..., 2 d), if there is one."""
    if modulation is None or not modulation.shape[-1]:
        return x
    scale, shift = modulation.chunk(2, -1)
    return x * scale + shift


class PositionEmbedding(nn.Module):
    """A vector for each position, learned by row and by column, and interpolated for images of other sizes."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.randn(side, width) * width**-0.5)
        self.columns = nn.Parameter(torch.randn(side, width) * width**-0.5)

    def forward(self, height: int, width: int) -> Tensor:
        """(height, width, d)."""
        dim = self.rows.shape[1]
        rows = F.interpolate(self.rows[None, None], (height, dim), mode="bilinear")[0, 0]
        columns = F.interpolate(self.columns[None, None], (width, dim), mode="bilinear")[0, 0]
        return rows[:, None] + columns


class Attention(nn.Module):
    """Attention along a ``row``, a ``column`` or ``both`` (all positions), with a bias by distance within ``side``.

    ``masked``: no position sees one after it: further along the axis; with ``both``, further down.
    """

    def __init__(self, shape: Axial, axis: str, masked: bool) -> None:
        super().__init__()
        self.heads, self.axis, self.masked, self.side = shape.heads, axis, masked, shape.side
        self.ask = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.answer = nn.Linear(shape.width, shape.width, bias=False)
        self.directions = {"row": ("across",), "column": ("down",), "both": ("down", "across")}[axis]
        self.bias = nn.ParameterDict({name: torch.zeros(shape.heads, 2 * shape.side) for name in self.directions})

    def forward(self, x: Tensor, modulation: Tensor | None = None, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(b, h, w, d) -> (b, h, w, d), and the keys and values (b, h, w, 2 d) of these positions.

        ``modulation`` (b, h, w, 6 d): scale and shift of queries, keys and values. ``past``: keys and values of the
        positions before these: to the left for a row, above otherwise.
        """
        query, new = modulate(self.ask(x), modulation).split((x.shape[-1], 2 * x.shape[-1]), -1)
        memory = new if past is None else torch.cat([past, new], 2 if self.axis == "row" else 1)
        key, value = memory.chunk(2, -1)
        lines = self._to_lines(query), self._to_lines(key), self._to_lines(value)
        values = F.scaled_dot_product_attention(*lines, attn_mask=self._score_bias(x, memory))
        values = values.transpose(1, 2)
        if self.axis == "column":
            values = values.reshape(x.transpose(1, 2).shape).transpose(1, 2)
        return self.answer(values.reshape(x.shape)), new

    def _to_lines(self, x: Tensor) -> Tensor:
        """(b, h, w, d) -> (b lines, heads, positions, d / heads)."""
        if self.axis == "column":
            x = x.transpose(1, 2)
        _, h, w, d = x.shape
        positions = h * w if self.axis == "both" else w
        return x.reshape(-1, positions, self.heads, d // self.heads).transpose(1, 2)

    def _score_bias(self, x: Tensor, memory: Tensor) -> Tensor:
        """Bias (heads, positions, memory positions), with the mask in the first of the directions."""
        biases: list[Tensor] = []
        for direction in self.directions:
            axis, table = {"down": 1, "across": 2}[direction], self.bias[direction]
            memory_positions = torch.arange(memory.shape[axis], device=table.device)
            positions = memory_positions[memory.shape[axis] - x.shape[axis] :]  # the last are the queries
            offset = memory_positions - positions[:, None]
            bias = table[:, offset.clamp(1 - self.side, self.side - 1) + self.side - 1]
            if self.masked and not biases:
                bias = bias.masked_fill(offset > 0, -torch.inf)
            biases.append(bias)
        if self.axis != "both":
            return biases[0]
        down, across = biases
        both = down[:, :, None, :, None] + across[:, None, :, None, :]
        return both.flatten(3).flatten(1, 2)


class Layer(nn.Module):
    """Attention, then a perceptron, each around a shortcut and with a norm after it (post-norm)."""

    def __init__(self, shape: Axial, axis: str, masked: bool = False, conditional: tuple[str, ...] = ()) -> None:
        super().__init__()
        width, hidden = shape.width, shape.hidden or shape.width
        self.conditional = conditional
        self.attention = Attention(shape, axis, masked)
        self.perceptron = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        affine = "norm" not in conditional
        self.norms = nn.ModuleList(nn.LayerNorm(width, elementwise_affine=affine) for _ in range(2))

    def forward(
        self, x: Tensor, condition: Tensor | None = None, norms: Tensor | None = None, past: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """x (b, h, w, d), `Conditions` (b, h, w, k), `Norms` (b, 2, 2 d), `Attention`'s past -> x, and the new past."""
        attention_modulation = mlp_modulation = first = second = None
        if condition is not None:
            size = 6 * x.shape[-1] if "attention" in self.conditional else 0
            attention_modulation, mlp_modulation = condition[..., :size], condition[..., size:]
        if norms is not None and "norm" in self.conditional:
            first, second = norms[:, 0, None, None], norms[:, 1, None, None]
        values, new = self.attention(x, attention_modulation, past)
        x = modulate(self.norms[0](x + values), first)
        return modulate(self.norms[1](x + modulate(self.perceptron(x), mlp_modulation)), second), new


class Conditions(nn.Module):
    """A context -> the scales and shifts of attention (cAtt, no bias) and perceptron (cMLP) in several layers."""

    def __init__(self, context: int, width: int, layers: int, conditional: tuple[str, ...]) -> None:
        super().__init__()
        attention, mlp = layers * ("attention" in conditional), layers * ("mlp" in conditional)
        self.size = width * (6 * bool(attention) + 2 * bool(mlp))  # of one layer
        self.attention = nn.ModuleList(_scale_and_shift(context, width, 3, bias=False) for _ in range(attention))
        self.mlp = nn.ModuleList(_scale_and_shift(context, width, 1, bias=True) for _ in range(mlp))

    def forward(self, context: Tensor) -> Tensor:
        """(..., c) -> (..., layers times size), layer by layer."""
        parts = []
        for projections in zip_longest(self.attention, self.mlp):
            parts += [projection(context) for projection in projections if projection]
        return torch.cat(parts, -1) if parts else context[..., :0]


def _scale_and_shift(context: int, width: int, parts: int, bias: bool) -> nn.Linear:
    layer = nn.Linear(context, 2 * parts * width, bias)
    for weight in layer.weight.data.chunk(parts):
        nn.init.xavier_uniform_(weight)
    if bias:  # a scale of 1 and a shift of 0
        layer.bias.data[:width], layer.bias.data[width:] = 1, 0
    return layer


class Norms(nn.Module):
    """A context, averaged with learned weights over its positions -> scale and shift of conditional norms (cLN)."""

    def __init__(self, side: int, width: int, norms: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.ones(norms, side, side))
        self.weight = nn.Parameter(torch.empty(norms, width, 2 * width))
        for weight in self.weight.data:
            nn.init.xavier_uniform_(weight)
        self.bias = nn.Parameter(torch.cat([torch.ones(norms, width), torch.zeros(norms, width)], 1))

    def forward(self, context: Tensor) -> Tensor:
        """(b, h, w, d) -> (b, norms, 2 d)."""
        _, h, w, d = context.shape
        weights = F.interpolate(self.places[None], (h, w), mode="bilinear").reshape(-1, h * w)
        means = weights @ context.reshape(-1, h * w, d) / (h * w)
        return (means[:, :, None] @ self.weight)[:, :, 0] + self.bias


class Stack(nn.Module):
    """Pairs of unconditional, unmasked layers, along rows and columns in turn."""

    def __init__(self, shape: Axial, pairs: int) -> None:
        super().__init__()
        self.places = PositionEmbedding(shape.side, shape.width)
        self.layers = nn.ModuleList(Layer(shape, axis) for axis in shape.axes() * pairs)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.places(*x.shape[1:3])
        for layer in self.layers:
            x, _ = layer(x)
        return x
