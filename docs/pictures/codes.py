"""Make codes.jpg and latent-path.jpg: photos of scikit-image through the autoencoder of the model cold.

python docs/pictures/codes.py
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyvips
import skimage.data
from PIL import Image

from photochrom import Colorizer
from photochrom.core.degradation import interpolate
from study import PARTS, tile

HERE = Path(__file__).parent
SIDE, DIM = 64, 32
SHARES = (0, 0.25, 0.5, 0.75, 1)  # of the way from color to gray


def index_map(vectors: np.ndarray) -> np.ndarray:
    """Return places (d, h, w) as an image in which equal codebook entries have equal random colors."""
    flat = vectors.reshape(len(vectors), -1).T
    _, indices = np.unique(flat.round(4), axis=0, return_inverse=True)
    colors = np.random.default_rng(0).integers(40, 230, (indices.max() + 1, 3), dtype=np.uint8)
    return colors[indices.ravel()].reshape(*vectors.shape[1:], 3).repeat(8, 0).repeat(8, 1)


def to_pixels(image: np.ndarray) -> np.ndarray:
    """Return an image (1, 3, h, w) in [-1, 1] as 8-bit pixels (h, w, 3)."""
    return np.rint((image[0].clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)


def rows(nets: Mapping[str, Any], name: str) -> tuple[list[pyvips.Image], list[pyvips.Image]]:
    """Return the tiles of a photo in both pictures."""
    top, left, side = PARTS[name]
    photo = Image.fromarray(getattr(skimage.data, name)()[top : top + side, left : left + side])
    small = np.asarray(photo.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
    color = small.transpose(2, 0, 1)[None] / 127.5 - 1
    gray = color.mean(1, keepdims=True).repeat(3, 1)
    latents = {image: nets["encoder"](color=pixels) for image, pixels in (("color", color), ("gray", gray))}
    codes = [to_pixels(color), to_pixels(nets["decoder"](latent=latents["color"]))]
    codes += [index_map(latents["color"][0, :DIM]), index_map(latents["color"][0, DIM:])]
    codes += [to_pixels(gray), to_pixels(nets["decoder"](latent=latents["gray"]))]
    path = [interpolate(latents["color"], latents["gray"], share) for share in SHARES]
    decoded = [to_pixels(nets["decoder"](latent=latent)) for latent in path]
    return [tile(pixels) for pixels in codes], [tile(pixels) for pixels in decoded]


def main() -> None:
    """Write the pictures."""
    nets = Colorizer("cold").nets
    codes, paths = [], []
    for name in PARTS:
        of_photo, path = rows(nets, name)
        codes += of_photo
        paths += path
    for file, tiles in (("codes.jpg", codes), ("latent-path.jpg", paths)):
        across = len(tiles) // len(PARTS)
        mosaic = pyvips.Image.arrayjoin(tiles, across=across, shim=4, background=[255, 255, 255])
        mosaic.write_to_file(str(HERE / file), Q=88)


if __name__ == "__main__":
    main()
