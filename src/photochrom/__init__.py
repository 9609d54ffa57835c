"""Photochrom puts colour into black-and-white photographs."""

from typing import TYPE_CHECKING, Any

from ._version import __version__

__all__ = ["Colorizer", "__version__", "colorize"]

if TYPE_CHECKING:
    from .inference.colorizer import Colorizer, colorize


def __getattr__(name: str) -> Any:
    """`Colorizer` and `colorize`, imported at first use, so that ``photochrom --help`` stays quick."""
    if name in ("Colorizer", "colorize"):
        from .inference import colorizer

        return getattr(colorizer, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
