"""Write a bundle: the counterpart of `inference.bundle`, which reads one; imports no torch."""

import hashlib
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..imaging.atomic import atomic_path
from ..inference.bundle import CARD, ModelCard, encode_card


def require_free(path: Path) -> None:
    """Raise FileExistsError for a path that exists: a bundle replaces no other."""
    if path.exists():
        raise FileExistsError(f"{path} exists: name another folder or remove it")


def save_bundle(path: Path, card: ModelCard, networks: Mapping[str, bytes]) -> ModelCard:
    """Write a bundle as a new folder or ``.zip`` and return the card with its digests. Raises FileExistsError."""
    require_free(path)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in networks.items()}
    card = replace(card, networks=digests)
    path.parent.mkdir(parents=True, exist_ok=True)
    files = {CARD: encode_card(card)} | {f"{name}.onnx": content for name, content in networks.items()}
    with atomic_path(path) as target:
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as archive:
                for name, content in files.items():
                    archive.writestr(f"{card.name}/{name}", content)
        else:
            target.mkdir()
            for name, content in files.items():
                (target / name).write_bytes(content)
    return card
