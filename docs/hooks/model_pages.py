"""A page for each model of this repository, from its ``model.json``, and the table that leads to them."""

import zipfile
from pathlib import Path

from schemas import table

from photochrom.inference import model_card
from photochrom.inference.bundle import INSTALLED, ModelCard, read_card

ROOT = Path(__file__).parents[2]
FOLDERS = (INSTALLED, ROOT / "photochrom-models" / "src" / "photochrom_models")
PAGES = "reference/models"


def read_models() -> dict[str, tuple[Path, ModelCard]]:
    """Return the bundle and the card of each model by its name; the models inside Photochrom first."""
    models = {}
    for folder in FOLDERS:
        bundles = [path for path in sorted(folder.iterdir()) if path.suffix == ".zip" or (path / "model.json").exists()]
        for path in bundles:
            models[path.name.removesuffix(".zip")] = path, read_card(path)
    return models


def write_table() -> str:
    """Return a table of all models, with links to their pages."""
    rows = []
    for name, (_, card) in read_models().items():
        rows.append((f"[{name}]({name}.md)", card.family, card.use, card.summary))
    return table(("model", "family", "for", ""), rows)


def write_pages() -> dict[str, str]:
    """Return the page of each model by its place in the site."""
    pages = {}
    for name, (path, card) in read_models().items():
        picture = f"../../pictures/models/{name}.jpg"
        pages[f"{PAGES}/{name}.md"] = model_card.markdown(card, network_bytes(path), picture)
    return pages


def network_bytes(bundle: Path) -> dict[str, int]:
    """Return the bytes of each network of a bundle, a folder or a zip."""
    if bundle.is_dir():
        return {path.stem: path.stat().st_size for path in bundle.glob("*.onnx")}
    with zipfile.ZipFile(bundle) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".onnx")]
    return {Path(entry.filename).stem: entry.file_size for entry in entries}
