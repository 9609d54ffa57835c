"""How this package was installed, and so the command that adds more to it: of pip, pipx or uv.

Functions import what they need, since every command imports this module and few need an answer.
"""

import os
import shlex
import sys
from collections.abc import Collection, Mapping
from pathlib import Path, PurePath
from typing import Any

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
    installer = _installer()
    return f"{installer} {'--pip-args=--no-deps' if installer.startswith('pipx') else '--no-deps'} {package}"


def _install(extra: str = "", package: str = "") -> str:
    tool = _uv_tool()
    if tool is None:
        return f"{_installer()} {_quote(package) if package else _itself([extra])}"
    # The command replaces the installation, so it names all that is in it.
    extras, others = {extra} - {""}, []
    for entry in tool:
        if entry["name"] == "photochrom":
            extras.update(entry.get("extras", []))
        elif entry["name"] != PurePath(package).name:
            others.append(_with(entry))
    if package:
        others.append(f"--with {_quote(package)}")
    return " ".join(["uv tool install", _itself(extras), *others])


def _with(entry: Mapping[str, Any]) -> str:
    """Return the option of `uv tool install` for a requirement in its receipt."""
    if "editable" in entry:
        return f"--with-editable {_quote(entry['editable'])}"
    folder = entry.get("directory") or entry.get("path")
    if folder:
        return f"--with {_quote(folder)}"
    extras = f"[{','.join(entry['extras'])}]" if "extras" in entry else ""
    url = f"git+{entry['git']}" if "git" in entry else entry.get("url", "")
    origin = f" @ {url}" if url else entry.get("specifier", "")
    return f"--with {_quote(entry['name'] + extras + origin)}"


def _itself(extras: Collection[str]) -> str:
    """Return this package as an argument of an installer, from where it came (PEP 610)."""
    origin = _origin()
    names = f"[{','.join(sorted(extras))}]" if extras else ""
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"{editable}{_quote(f'{_folder(origin)}{names}')}"
    if "vcs_info" in origin:
        origin["url"] = f"{origin['vcs_info']['vcs']}+{origin['url']}"
    return _quote(f"photochrom{names}{' @ ' + origin['url'] if 'url' in origin else ''}")


def _installer() -> str:
    """Return the start of the command that adds packages to this environment."""
    if (Path(sys.prefix) / "uv-receipt.toml").is_file():
        return f"uv pip install --python {_quote(sys.prefix)}"
    if (Path(sys.prefix) / "pipx_metadata.json").is_file():
        return f"pipx inject {Path(sys.prefix).name}"
    name = _read_record("INSTALLER") or ""
    return "uv pip install" if name.strip() == "uv" else "pip install"


def _uv_tool() -> list[dict[str, Any]] | None:
    """Return the requirements of a `uv tool` environment of this package; None for any other environment."""
    receipt = Path(sys.prefix) / "uv-receipt.toml"
    if not receipt.is_file():
        return None
    import tomllib

    entries: list[dict[str, Any]] = tomllib.loads(receipt.read_text(encoding="utf-8"))["tool"]["requirements"]
    return entries if entries[0]["name"] == "photochrom" else None


def _origin() -> dict[str, Any]:
    import json

    record = _read_record("direct_url.json")
    if record is None:  # a source tree
        return {"url": Path(__file__).parents[2].as_uri(), "dir_info": {}}
    origin: dict[str, Any] = json.loads(record or "{}")
    return origin


def _read_record(name: str) -> str | None:
    """Return a file that the installer wrote beside the metadata, empty if it did not; None for a source tree."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        return distribution("photochrom").read_text(name) or ""
    except PackageNotFoundError:
        return None


def _folder(origin: dict[str, Any]) -> Path:
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    return Path(url2pathname(urlsplit(origin["url"]).path))


def _quote(text: str) -> str:
    """Return an argument as a shell takes it: on Windows in double quotes, if in any."""
    quoted = shlex.quote(text)
    return quoted if os.name != "nt" or quoted == text else f'"{text}"'
