"""Make the pictures of the model cards: ``python docs/pictures/models.py [NAME ...]``, those of all by default."""

import sys
import tempfile
from pathlib import Path

import pyvips
from skimage import data

from photochrom import Colorizer
from photochrom.inference.bundle import installed
from photochrom.inference.model_card import draw_examples

FOLDER = Path(__file__).parent / "models"
PHOTOS = ("astronaut", "chelsea", "coffee", "rocket")


def main(names: list[str]) -> None:
    """Write ``models/NAME.jpg`` for each model."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        photos = [Path(folder) / f"{name}.png" for name in PHOTOS]
        for photo in photos:
            pyvips.Image.new_from_array(getattr(data, photo.stem)()).write_to_file(str(photo))
        for name in names or installed():
            (FOLDER / f"{name}.jpg").write_bytes(draw_examples(Colorizer(name), photos))


if __name__ == "__main__":
    main(sys.argv[1:])
