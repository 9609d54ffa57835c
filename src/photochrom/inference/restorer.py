"""Undo degradations other than the loss of color, with a bundle of the family `cold` or `vqvae`."""

from pathlib import Path
from typing import Any, Unpack

import numpy as np
from jaxtyping import Float, UInt8

from ..imaging.photo import open_photo
from .bundle import BundleError
from .onnx import SeededNoise, load_model
from .options import SamplerOptions

Pixels = UInt8[np.ndarray, "h w 3"]
Image = Float[np.ndarray, "1 3 h w"]


class Restorer:
    """A model ready to restore photos; arguments and errors as `Colorizer`."""

    def __init__(
        self, model: str | Path, threads: int | None = None, device: str = "auto", **sampler: Unpack[SamplerOptions]
    ) -> None:
        self.card, self.procedure, self.nets = load_model(model, threads, device, sampler)
        if not self.procedure.capabilities.restores:
            raise BundleError(f"{model}: {self.card.family} does not restore photos; choose a model of cold or vqvae")
        self.operator = self.procedure.capabilities.operator

    def __call__(self, photo: Any, noise: Any = None, size: int | None = None) -> Pixels:
        """Return the restored photo at the inference size; ``photo``: any that `Colorizer` takes.

        ``noise``: that of the degradation, from `degrade`; where there is any, all solvers but one-shot need it.
        Raises PhotoError for a photo that cannot be read, ValueError for noise that is missing or of another shape.
        """
        image = self._resize(photo, size)
        if noise is not None:
            noise, example = np.asarray(noise, np.float32), self.operator.draw(image, SeededNoise([0]))
            if example is None:
                raise ValueError("noise: the degradation of this model has none; leave it out")
            if noise.shape != example.shape:
                raise ValueError(f"noise of shape {noise.shape}: must be {example.shape} for this photo and size")
        *_, restored = self.procedure.restore(self.nets, image, noise)
        return _to_pixels(restored)

    def degrade(self, photo: Any, seed: int = 0, size: int | None = None) -> tuple[Pixels, Any]:
        """Return a photo after the whole degradation that the model undoes, and its noise (None if it has none)."""
        image = self._resize(photo, size)
        noise = self.operator.draw(image, SeededNoise([seed]))
        return _to_pixels(self.operator.degrade(image, 1.0, noise)), noise

    def _resize(self, photo: Any, size: int | None) -> Image:
        card = self.card
        return open_photo(photo).resize(card.inference_size(size), card.multiple, card.square)[None] * 2 - 1


def _to_pixels(image: Image) -> Pixels:
    return np.rint((image[0].clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)
