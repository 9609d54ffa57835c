"""Give back what photographs have lost other than colour, with a bundle of the family `cold` or `vqvae`."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

from ..imaging.photo import open_photo
from .bundle import BundleError
from .onnx import SeededNoise, opened

Picture = UInt8[np.ndarray, "h w 3"]


class Restorer:
    """A bundle ready to restore photographs, at the size at which its model sees them.

    Args: see `engine.colorizer.Colorizer`. Raises BundleError for a bundle that restores nothing as well.
    """

    def __init__(self, model: str | Path, threads: int | None = None, **sampling: Any) -> None:
        self.card, procedure, self.nets = opened(model, threads, sampling)
        if not procedure.restores:
            raise BundleError(f"{model}: restores nothing ({self.card.family}): choose a model of cold or vqvae")
        self.procedure = procedure

    def __call__(self, photo: Any, dirt: Any = None, size: int | None = None) -> Picture:
        """What the model makes of a photograph: its short side is ``size``, or the bundle's own.

        Args:
            photo: whatever `Colorizer` takes.
            dirt: what is random in the loss, as `degraded` gave it; see `core.degradation`. Where something is, all
                but ``solver="one-shot"`` need it.

        Raises PhotoError for a photograph that cannot be read, ValueError where ``dirt`` is wanted or of another size.
        """
        seen = self._seen(photo, size)
        if dirt is not None:
            dirt = self._checked(np.asarray(dirt, np.float32), seen)
        *_, restored = self.procedure.restore(self.nets, seen, dirt)
        return _picture(restored)

    def degraded(self, photo: Any, seed: int = 0, size: int | None = None) -> tuple[Picture, Any]:
        """A whole photograph after all that the model was trained to undo, and the dirt of that (None where none)."""
        seen = self._seen(photo, size)
        dirt = self._drawn(seen, seed)
        operator = self.procedure.operator
        if operator is None:
            return _picture(seen), dirt
        return _picture(operator.degrade(seen, operator.steps, dirt)), dirt

    def _drawn(self, seen: Any, seed: int = 0) -> Any:
        """What is random in the loss, for a photograph as it is seen; None where nothing is."""
        operator = self.procedure.operator
        return None if operator is None else operator.draw(seen, SeededNoise([seed]))

    def _checked(self, dirt: Any, seen: Any) -> Any:
        """The dirt, if it is of the shape that the model's loss draws for this photograph. Raises ValueError."""
        drawn = self._drawn(seen)
        if drawn is None:
            raise ValueError("dirt: nothing is random in what this model undoes; leave it out")
        if dirt.shape != drawn.shape:
            raise ValueError(f"dirt of shape {dirt.shape}: for this photograph as it is seen it must be {drawn.shape}")
        return dirt

    def _seen(self, photo: Any, size: int | None) -> Float[np.ndarray, "1 3 h w"]:
        card = self.card
        return open_photo(photo).small(card.inference_size(size), card.multiple, card.square)[None] * 2 - 1


def _picture(planes: Float[np.ndarray, "1 3 h w"]) -> Picture:
    return np.rint((planes[0].clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)
