"""Write a bundle: the counterpart of `inference.bundle`, which reads one; imports no torch."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..imaging.atomic import atomic_path
from ..inference.bundle import ModelCard, write_card


def require_free(path: Path) -> None:
    """Raise FileExistsError for a path that exists: a bundle replaces no other."""
    if path.exists():
        raise FileExistsError(f"{path} exists: name another folder or remove it")


def save_bundle(path: Path, card: ModelCard, networks: Mapping[str, bytes]) -> ModelCard:
    """Write a bundle as a new folder and return the card with its digests. Raises FileExistsError."""
    require_free(path)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in networks.items()}
    card = replace(card, networks=digests)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as folder:
        folder.mkdir()
        for name, content in networks.items():
            (folder / f"{name}.onnx").write_bytes(content)
        write_card(folder, card)
    return card
