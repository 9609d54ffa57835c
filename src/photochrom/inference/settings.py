"""Settings of a photo in a file: the web page saves them beside an output, and the command line reads them again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from .._version import __version__
from ..imaging.errors import PhotoError, printable
from ..imaging.photo import open_photo
from .options import ColorOptions, merge_options

OPTIONS = (*(field.name for field in fields(ColorOptions)), "page")


@dataclass(frozen=True)
class Settings:
    """The name of a model, and options by name: those of `ColorOptions`, hints as texts, and the page to read.

    ``size``: width and height of the photo that the hints lie on, if the file says it.
    """

    model: str
    options: Mapping[str, Any]
    size: tuple[int, int] | None = None

    def check_photo(self, path: Path, page: int | None) -> None:
        """Raise ValueError for a photo of another size, on which hints would lie anywhere."""
        try:
            photo = open_photo(path, page=page)
        except (PhotoError, OSError):
            return  # who colorizes it says why
        size = photo.width, photo.height
        if self.size is not None and size != self.size:
            raise ValueError(
                f"{photo.name}: has {size[0]} x {size[1]} pixels, and the hints of the settings are for a photo of "
                f"{self.size[0]} x {self.size[1]}; give --hint for this photo, or remove the hints from the file"
            )


def settings_text(photo: Mapping[str, Any], model: str, options: ColorOptions, page: int | None) -> str:
    """Return the JSON that `read_settings` reads; ``photo`` has its name, width and height."""
    values = {**vars(options), "hints": [str(hint) for hint in options.hints], "page": page}
    defaults = {**vars(ColorOptions()), "page": None}
    changed = {name: value for name, value in values.items() if name == "hints" or value != defaults[name]}
    return json.dumps({"photochrom": __version__, "photo": photo, "model": model, "options": changed}, indent=2)


def read_settings(path: Path) -> Settings:
    """Read a JSON file ``{"photochrom": version, "model": name, "options": {...}}``.

    Raises ValueError for a file that cannot be read, or that has a wrong or unknown option.
    """
    name = printable(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        model, options = content["model"], content["options"]
        if "photochrom" not in content or not isinstance(model, str) or not isinstance(options, dict):
            raise ValueError
    except OSError as error:
        raise ValueError(f"{name}: cannot be read ({error.strerror})") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{name}, line {error.lineno}: is no JSON ({error.msg})") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{name}: has no settings that the web page of photochrom saved") from None
    unknown = [option for option in options if option not in OPTIONS]
    if unknown:
        raise ValueError(f"{name}: unknown option {unknown[0]!r}; choose from {', '.join(OPTIONS)}")
    try:
        merge_options(**{option: value for option, value in options.items() if option != "page"})
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from None
    page = options.get("page")
    if page is not None and (type(page) is not int or page < 1):
        raise ValueError(f"{name}: page {page!r}: must be an integer of at least 1")
    return Settings(model, options, _read_size(content.get("photo")))


def _read_size(photo: Any) -> tuple[int, int] | None:
    try:
        return int(photo["width"]), int(photo["height"])
    except (TypeError, KeyError, ValueError):
        return None
