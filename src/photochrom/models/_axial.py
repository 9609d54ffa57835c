"""Attention along the rows and columns of pictures, and the layers of the colorization transformer made of it.

The conditional layers of Kumar, Weissenborn & Kalchbrenner (2021): attention whose queries, keys and values are
scaled and shifted by a context (cAtt), a multilayer perceptron whose output is (cMLP), and a layer norm whose scale and
shift come from the whole context at once (cLN). Feature maps are channel last here: (b, h, w, d).
"""

import math
from dataclasses import dataclass
from itertools import zip_longest

import torch
from torch import Tensor, nn

ATTENTIONS = ("axial", "full")
CONDITIONAL = ("attention", "mlp", "norm")


@dataclass(frozen=True)
class Axial:
    """How wide feature maps are, in how many ``heads`` they are looked at, the ``side`` of the pictures learnt from.

    ``hidden`` is the width inside a perceptron, the same if 0. Attention goes along rows and columns in turn, or, where
    ``full``, over all places each time, which costs their square.
    """

    width: int = 160
    heads: int = 4
    hidden: int = 0
    side: int = 32
    attention: str = "axial"

    def __post_init__(self) -> None:
        if min(self.width, self.heads, self.side) < 1 or self.width % self.heads or self.hidden < 0:
            raise ValueError(
                f"width {self.width}, heads {self.heads}, side {self.side}, hidden {self.hidden}: must be at least 1 "
                "(hidden 0), and the width divide by the heads"
            )
        if self.attention not in ATTENTIONS:
            raise ValueError(f"attention {self.attention!r}: choose {' or '.join(ATTENTIONS)}")

    def axes(self) -> tuple[str, str]:
        """What the two attentions of a layer look along."""
        return ("row", "column") if self.attention == "axial" else ("both", "both")


def stretched(table: Tensor, count: int, dim: int) -> Tensor:
    """A table of places along ``dim`` read off at ``count`` places over the same length, linearly in between."""
    length = table.shape[dim]
    at = ((torch.arange(count, device=table.device) + 0.5) * (length / count) - 0.5).clamp(0, length - 1)
    low = at.floor().long()
    share = (at - low).reshape(-1, *[1] * (table.dim() - 1 - dim))
    return torch.lerp(table.index_select(dim, low), table.index_select(dim, (low + 1).clamp(max=length - 1)), share)


class Places(nn.Module):
    """A vector for each place of a picture, learnt by row and by column; pictures of other sizes stretch them."""

    def __init__(self, side: int, width: int) -> None:
        super().__init__()
        self.rows, self.columns = (nn.Parameter(torch.randn(side, width) * width**-0.5) for _ in range(2))

    def forward(self, height: int, width: int) -> Tensor:
        """(height, width, d)."""
        return stretched(self.rows, height, 0)[:, None] + stretched(self.columns, width, 0)


class Attention(nn.Module):
    """Each place looks along its row, its column, or ``both``: everywhere; ``masked``: at none that comes after it.

    What comes after is what is further along; where it looks everywhere, further down. Scores have a bias by distance,
    learnt for those within ``side``.
    """

    def __init__(self, shape: Axial, axis: str, masked: bool) -> None:
        super().__init__()
        self.heads, self.axis, self.masked, self.side = shape.heads, axis, masked, shape.side
        self.ask = nn.Linear(shape.width, 3 * shape.width, bias=False)
        self.answer = nn.Linear(shape.width, shape.width, bias=False)
        along = {"row": ("across",), "column": ("down",), "both": ("down", "across")}[axis]
        self.bias = nn.ParameterDict({way: torch.zeros(shape.heads, 2 * shape.side) for way in along})

    def forward(self, x: Tensor, modulation: Tensor | None = None, past: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(b, h, w, d) -> (b, h, w, d), and the keys and values (b, h, w, 2 d) of these places.

        ``modulation`` (b, h, w, 6 d): scale and shift of queries, keys and values. ``past``: keys and values of the
        places before these, to the left of them for a row, above them otherwise.
        """
        asked = modulated(self.ask(x), modulation)
        query, new = asked[..., : x.shape[-1]], asked[..., x.shape[-1] :]
        known = new if past is None else torch.cat([past, new], 2 if self.axis == "row" else 1)
        key, value = known.chunk(2, -1)
        query, key, value = (self._split(t) for t in (query, key, value))
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + self._bias(x, known)
        found = self._join(torch.softmax(scores, -1) @ value, x)
        return self.answer(found), new

    def _split(self, x: Tensor) -> Tensor:
        """(b, h, w, d) -> (b, lines, heads, places, d / heads)."""
        b, h, w, d = x.shape
        x = x.reshape(b, h, w, self.heads, d // self.heads)
        if self.axis == "row":
            return x.transpose(2, 3)
        if self.axis == "column":
            return x.permute(0, 2, 3, 1, 4)
        return x.reshape(b, 1, h * w, self.heads, d // self.heads).transpose(2, 3)

    def _join(self, x: Tensor, like: Tensor) -> Tensor:
        """The opposite of `_split`."""
        if self.axis == "column":
            return x.permute(0, 3, 1, 2, 4).reshape(like.shape)
        return x.transpose(2, 3).reshape(like.shape)

    def _bias(self, x: Tensor, known: Tensor) -> Tensor:
        """Of each head (heads, places, known places)."""
        if self.axis != "both":
            way, dim = ("across", 2) if self.axis == "row" else ("down", 1)
            return self._along(self.bias[way], x.shape[dim], known.shape[dim], self.masked)
        down = self._along(self.bias["down"], x.shape[1], known.shape[1], self.masked)[:, :, None, :, None]
        across = self._along(self.bias["across"], x.shape[2], known.shape[2], False)[:, None, :, None, :]
        return (down + across).reshape(self.heads, x.shape[1] * x.shape[2], known.shape[1] * known.shape[2])

    def _along(self, bias: Tensor, places: int, known: int, masked: bool) -> Tensor:
        here = torch.arange(known - places, known, device=bias.device)
        apart = torch.arange(known, device=bias.device) - here[:, None]
        found = bias[:, apart.clamp(1 - self.side, self.side - 1) + self.side - 1]
        return found - 1e6 * (apart > 0) if masked else found


def modulated(x: Tensor, modulation: Tensor | None) -> Tensor:
    """x scaled and shifted, each as wide as x; as it is without."""
    if modulation is None:
        return x
    scale, shift = modulation.chunk(2, -1)
    return x * scale + shift


class Norm(nn.LayerNorm):
    """A layer norm; a ``conditional`` one is given its scale and shift."""

    def __init__(self, width: int, conditional: bool) -> None:
        super().__init__(width, elementwise_affine=not conditional)

    def forward(self, x: Tensor, modulation: Tensor | None = None) -> Tensor:
        """(b, h, w, d), and (b, 2 d) for a conditional one."""
        found = super().forward(x)
        return found if self.elementwise_affine else modulated(found, modulation[:, None, None])  # type: ignore[index]


class Layer(nn.Module):
    """Attention, then a perceptron, each added to what it is given, and normed after (post-norm)."""

    def __init__(self, shape: Axial, axis: str, masked: bool = False, conditional: tuple[str, ...] = ()) -> None:
        super().__init__()
        width, hidden = shape.width, shape.hidden or shape.width
        self.conditional = conditional
        self.attention = Attention(shape, axis, masked)
        self.perceptron = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.norms = nn.ModuleList(Norm(width, "norm" in conditional) for _ in range(2))

    def forward(
        self, x: Tensor, condition: Tensor | None = None, norms: Tensor | None = None, past: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(b, h, w, d), its `Conditions` (b, h, w, k), its norms' (b, 2, 2 d), `Attention`'s past -> x and new past."""
        attend, perceive = (None, None) if condition is None else self._parts(condition, x.shape[-1])
        first, second = (norms[:, 0], norms[:, 1]) if norms is not None and "norm" in self.conditional else (None, None)
        found, new = self.attention(x, attend, past)
        x = self.norms[0](x + found, first)
        return self.norms[1](x + modulated(self.perceptron(x), perceive), second), new

    def _parts(self, condition: Tensor, width: int) -> tuple[Tensor | None, Tensor | None]:
        attends = "attention" in self.conditional
        return condition[..., : 6 * width] if attends else None, (
            condition[..., 6 * width * attends :] if "mlp" in self.conditional else None
        )


class Conditions(nn.Module):
    """What a context scales and shifts in each of several layers.

    Of attention (cAtt) it is without a bias; of the mlp (cMLP) with one, its scale about 1 at first.
    """

    def __init__(self, context: int, width: int, layers: int, conditional: tuple[str, ...]) -> None:
        super().__init__()
        self.size = width * (6 * ("attention" in conditional) + 2 * ("mlp" in conditional))  # of one layer

        def scaling(parts: int, bias: bool) -> nn.Linear:
            layer = nn.Linear(context, 2 * parts * width, bias)
            nn.init.uniform_(layer.weight, *_glorot(context, 2 * width))
            if bias:
                layer.bias.data[:width], layer.bias.data[width:] = 1, 0
            return layer

        self.attention = nn.ModuleList(scaling(3, False) for _ in range(layers if "attention" in conditional else 0))
        self.mlp = nn.ModuleList(scaling(1, True) for _ in range(layers if "mlp" in conditional else 0))

    def forward(self, context: Tensor) -> Tensor:
        """(..., c) -> (..., layers times size), layer by layer."""
        found = [part(context) for parts in zip_longest(self.attention, self.mlp) for part in parts if part]
        return torch.cat(found, -1) if found else context[..., :0]


class Norms(nn.Module):
    """Scale and shift of conditional norms: the whole context, its places weighed by what is learnt, then a layer."""

    def __init__(self, side: int, width: int, norms: int) -> None:
        super().__init__()
        self.places = nn.Parameter(torch.ones(norms, side, side))
        self.weight = nn.Parameter(torch.empty(norms, width, 2 * width).uniform_(*_glorot(width, 2 * width)))
        self.bias = nn.Parameter(torch.cat([torch.ones(norms, width), torch.zeros(norms, width)], 1))

    def forward(self, context: Tensor) -> Tensor:
        """(b, h, w, d) -> (b, norms, 2 d)."""
        _, h, w, d = context.shape
        places = stretched(stretched(self.places, h, 1), w, 2).reshape(-1, h * w)
        means = places @ context.reshape(-1, h * w, d) / (h * w)
        return (means[:, :, None] @ self.weight)[:, :, 0] + self.bias


class Stack(nn.Module):
    """Layers that look along rows and columns in turn, at everything, conditioned by nothing."""

    def __init__(self, shape: Axial, layers: int) -> None:
        super().__init__()
        self.places = Places(shape.side, shape.width)
        self.layers = nn.ModuleList(Layer(shape, axis) for _ in range(layers) for axis in shape.axes())

    def forward(self, x: Tensor) -> Tensor:
        """(b, h, w, d) -> (b, h, w, d)."""
        x = x + self.places(*x.shape[1:3])
        for layer in self.layers:
            x, _ = layer(x)
        return x


def _glorot(inside: int, outside: int) -> tuple[float, float]:
    bound = math.sqrt(6 / (inside + outside))
    return -bound, bound
