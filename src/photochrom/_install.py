"""How this package was installed, and so the command that adds more to it: of pip, pipx or uv."""

import json
import sys
import tomllib
from collections.abc import Collection
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

MODELS = "photochrom-models"


def install_extra(extra: str) -> str:
    """Return the command that adds the packages of an extra to this installation."""
    return _install(extra=extra)


def install_models() -> str:
    """Return the command that adds the package of further models to this installation."""
    origin = _origin()
    folder = _folder(origin) / MODELS if "dir_info" in origin else None
    return _install(package=str(folder) if folder and folder.is_dir() else MODELS)


def install_alone(package: str) -> str:
    """Return the command that adds a package without those that it depends on."""
    if _uv_tool() is not None:
        return f"uv pip install --python {_quote(sys.prefix)} --no-deps {package}"
    installer = _installer()
    return f"{installer} {'--pip-args=--no-deps' if installer.startswith('pipx') else '--no-deps'} {package}"


def _install(extra: str = "", package: str = "") -> str:
    tool = _uv_tool()
    if tool is None:
        return f"{_installer()} {_quote(package) or _itself([extra])}"
    extras, packages = {extra, *tool.pop("photochrom", {}).get("extras", [])} - {""}, [package] if package else []
    # The command replaces the installation, so it names all that is in it.
    packages += [entry.get("directory") or entry.get("path") or name for name, entry in tool.items()]
    others = [f"--with {_quote(package)}" for package in sorted(packages)]
    return " ".join(["uv tool install", _itself(extras), *others])


def _itself(extras: Collection[str]) -> str:
    """Return this package as an argument of an installer, from where it came (PEP 610)."""
    origin = _origin()
    names = f"[{','.join(sorted(extras))}]" if extras else ""
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"{editable}'{_folder(origin)}{names}'"
    if "vcs_info" in origin:
        origin["url"] = f"{origin['vcs_info']['vcs']}+{origin['url']}"
    return f"'photochrom{names}{' @ ' + origin['url'] if 'url' in origin else ''}'"


def _installer() -> str:
    """Return the start of the command that adds packages to this environment."""
    if (Path(sys.prefix) / "pipx_metadata.json").is_file():
        return f"pipx inject {Path(sys.prefix).name}"
    try:
        name = distribution("photochrom").read_text("INSTALLER") or ""
    except PackageNotFoundError:
        name = ""
    return "uv pip install" if name.strip() == "uv" else "pip install"


def _uv_tool() -> dict[str, dict[str, Any]] | None:
    """Return the requirements of a `uv tool` environment by name; None for any other environment."""
    receipt = Path(sys.prefix) / "uv-receipt.toml"
    if not receipt.is_file():
        return None
    entries = tomllib.loads(receipt.read_text(encoding="utf-8")).get("tool", {}).get("requirements", [])
    return {entry["name"]: entry for entry in entries}


def _origin() -> dict[str, Any]:
    try:
        origin: dict[str, Any] = json.loads(distribution("photochrom").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # a source tree
        return {"url": Path(__file__).parents[2].as_uri(), "dir_info": {}}
    return origin


def _folder(origin: dict[str, Any]) -> Path:
    return Path(url2pathname(urlsplit(origin["url"]).path))


def _quote(text: str) -> str:
    return f"'{text}'" if " " in text else text
