"""How this package was installed."""

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def pip_install(extra: str) -> str:
    """Return the pip command that adds the packages of an extra to this installation (PEP 610)."""
    try:
        origin = json.loads(distribution("photochrom").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:  # a source tree
        origin = {"url": Path(__file__).parents[2].as_uri(), "dir_info": {}}
    if "dir_info" in origin:
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}'{url2pathname(urlsplit(origin['url']).path)}[{extra}]'"
    if "vcs_info" in origin:
        origin["url"] = f"{origin['vcs_info']['vcs']}+{origin['url']}"
    return f"pip install 'photochrom[{extra}]{' @ ' + origin['url'] if 'url' in origin else ''}'"
