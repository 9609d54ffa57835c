"""Provenance: which model colorized a photo."""

from dataclasses import dataclass

from ..._version import __version__


@dataclass(frozen=True)
class Provenance:
    """Which model colorized a photo: its name, its version, the random seed, and the options that are not default.

    ``original`` is the sha256 of the photo's file; "" for a photo that is none, and in outputs of early versions.
    """

    model: str
    version: str
    seed: int
    options: str = ""  # such as ``saturation 0.5, size 256``
    original: str = ""

    @property
    def software(self) -> str:
        """One line for EXIF Software, such as ``Photochrom 0.1.0 (model default 1, seed 0)``."""
        return f"Photochrom {__version__} (model {self.model} {self.version}, seed {self.seed})"
