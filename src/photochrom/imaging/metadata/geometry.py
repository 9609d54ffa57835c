"""Places in a photo: what happens to sizes, points and rectangles when its pixels are turned upright."""

from dataclasses import dataclass
from typing import NamedTuple


class Box(NamedTuple):
    """Center and size of a rectangle, as shares of the width and height of the image."""

    x: float
    y: float
    width: float = 0
    height: float = 0


@dataclass(frozen=True)
class Turn:
    """How stored pixels become upright: by EXIF Orientation (1 to 8), from a stored width and height."""

    orientation: int
    stored: tuple[int, int]

    @property
    def swaps_axes(self) -> bool:
        """Whether width becomes height."""
        return self.orientation >= 5

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height of the upright image."""
        return self.stored[::-1] if self.swaps_axes else self.stored

    def box(self, box: Box) -> Box:
        """Returns where a rectangle of the stored image is in the upright one."""
        x, y, width, height = box
        if self.swaps_axes:
            x, y, width, height = y, x, height, width
        if self.orientation % 4 in (2, 3):
            x = 1 - x
        if self.orientation % 4 in (3, 0):
            y = 1 - y
        return Box(x, y, width, height)

    def area(self, values: list[int]) -> list[int]:
        """Returns a point, a circle (point, diameter) or a rectangle (center, size) in pixels of the upright image."""
        x, y, *size = values
        (width, height), (new_width, new_height) = self.stored, self.upright
        box = self.box(Box(x / width, y / height))
        size = size[::-1] if self.swaps_axes else size
        return [round(box.x * new_width), round(box.y * new_height), *size]
