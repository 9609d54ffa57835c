"""Planes of chroma for luma that stays as it is."""

import cv2
import numpy as np
from jaxtyping import Float32, UInt

from ..core.color import AB_SCALE
from ..imaging.chroma import chroma_shift, merge_chroma
from .reading import Encoding, Luma

AB = Float32[np.ndarray, "2 h w"]
WEIGHTS = {601: (0.299, 0.114), 709: (0.2126, 0.0722)}  # of red and blue in luma (ITU-R BT.601, BT.709)
CODES = 65535


def to_gray(luma: Luma, encoding: Encoding) -> Float32[np.ndarray, "h w"]:
    """Returns luma codes as values from 0, black, to 1, white."""
    black, white = encoding.black_and_white
    return ((luma.astype(np.float32) - black) / (white - black)).clip(0, 1)


def shrink(luma: Luma, encoding: Encoding, width: int, height: int) -> Float32[np.ndarray, "h w"]:
    """Returns luma at another size as values from 0 to 1."""
    larger = width > luma.shape[1] or height > luma.shape[0]
    kind = cv2.INTER_LINEAR if larger else cv2.INTER_AREA
    return to_gray(cv2.resize(luma, (width, height), interpolation=kind), encoding)


def enlarge(ab: AB, width: int, height: int) -> AB:
    """Returns ab at a larger size."""
    return cv2.resize(ab.transpose(1, 2, 0), (width, height), interpolation=cv2.INTER_CUBIC).transpose(2, 0, 1)


def chroma_planes(luma: Luma, ab: AB, encoding: Encoding, width: int, height: int) -> UInt[np.ndarray, "2 h w"]:
    """Returns Cb and Cr codes of a frame, of `width` x `height`, for ab in [-1, 1] at a smaller size.

    They are those of the color with the lightness of the luma and this ab. As luma stays, not L, colors keep the luma
    of their gray; where that would leave the range of a display, they become paler.
    """
    gray = shrink(luma, encoding, width, height)
    shift = chroma_shift(np.ascontiguousarray(enlarge(ab, width, height)) * np.float32(AB_SCALE))
    pixels = np.rint(gray * CODES).astype(np.uint16)[..., None]
    rgb = merge_chroma(pixels, shift, 16).astype(np.float32) / CODES
    red, blue = (np.float32(weight) for weight in WEIGHTS[encoding.matrix])
    own = red * rgb[..., 0] + (1 - red - blue) * rgb[..., 1] + blue * rgb[..., 2]
    offsets = rgb - own[..., None]
    highest, lowest = offsets.max(-1), offsets.min(-1)
    tiny = np.float32(1e-6)
    share = np.minimum((1 - gray) / np.maximum(highest, tiny), gray / np.maximum(-lowest, tiny)).clip(0, 1)
    difference = np.stack([offsets[..., 2] / (2 * (1 - blue)), offsets[..., 0] / (2 * (1 - red))]) * share
    scale = 1 << (encoding.depth - 8)
    size = (1 << encoding.depth) - 1 if encoding.full_range else 224 * scale
    codes = np.rint(difference * size + 128 * scale)
    return codes.clip(0, (1 << encoding.depth) - 1).astype(luma.dtype)
