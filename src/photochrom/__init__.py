"""Photochrom colorizes black-and-white photos."""

from ._version import __version__

__all__ = [
    "BundleError",
    "ColorOptions",
    "Colorized",
    "Colorizer",
    "FileExists",
    "Hint",
    "Outcome",
    "PhotoError",
    "PhotoTooLarge",
    "WriteError",
    "__version__",
    "colorize",
    "colorize_many",
    "colorize_video",
]

TYPE_CHECKING = False  # as type checkers read it; the module `typing` takes a while to import
if TYPE_CHECKING:
    from typing import Any

    from .imaging.errors import FileExists, PhotoError, PhotoTooLarge, WriteError
    from .imaging.photo import Colorized
    from .inference.batch import colorize_many
    from .inference.bundle import BundleError
    from .inference.colorizer import Colorizer, colorize
    from .inference.options import ColorOptions, Hint
    from .inference.processing import Outcome
    from .video.batch import colorize_video
else:
    # Imported at first use, so that `photochrom --help` and `import photochrom` load no numpy, pyvips or onnxruntime.
    MODULES = {
        ".imaging.errors": ("FileExists", "PhotoError", "PhotoTooLarge", "WriteError"),
        ".imaging.photo": ("Colorized",),
        ".inference.batch": ("colorize_many",),
        ".inference.processing": ("Outcome",),
        ".inference.bundle": ("BundleError",),
        ".inference.colorizer": ("Colorizer", "colorize"),
        ".inference.options": ("ColorOptions", "Hint"),
        ".video.batch": ("colorize_video",),
    }

    def __getattr__(name: str) -> "Any":
        from importlib import import_module

        for module, names in MODULES.items():
            if name in names:
                return getattr(import_module(module, __name__), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted(__all__)
