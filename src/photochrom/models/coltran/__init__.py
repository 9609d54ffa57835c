"""ColTran, the colorization transformer: `axial` (layers), `core` (its first stage), `model` (the family)."""

from .model import Model as Model
