"""ColTran, the colorization transformer: `axial` (layers), `core` and `upsampler` (networks), `model` (the family)."""

from .model import Model

__all__ = ["Model"]
