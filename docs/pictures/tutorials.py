"""Make the picture of the first tutorial, by its own commands: ``python docs/pictures/tutorials.py``."""

from pathlib import Path

import pyvips
from make import row

from photochrom import Colorizer

HERE = Path(__file__).parent
SIDE = 300


def main() -> None:
    """Write the photo of the first tutorial: as it is, colorized, paler, and with a hint for the lawn."""
    photo = pyvips.Image.new_from_file(str(HERE / "old.jpg"))
    colorizer = Colorizer()
    gray = photo.colourspace("srgb").numpy()
    results = [{}, {"saturation": 0.5}, {"hints": ["400,420,#a08a40"]}]
    pixels = [gray, *(colorizer(photo.numpy(), **options) for options in results)]
    tiles = [pyvips.Image.new_from_array(image).thumbnail_image(SIDE) for image in pixels]
    row(tiles).write_to_file(str(HERE / "first-photo.jpg"), Q=88)


if __name__ == "__main__":
    main()
