"""Resolution: pixels in a unit of length, as JPEG, PNG, JPEG 2000, TIFF and EXIF state it."""

from fractions import Fraction
from typing import NamedTuple

from .. import tiff

NO_UNIT, INCH, CENTIMETER, METER = range(4)
TIFF_UNITS = {1: NO_UNIT, 2: INCH, 3: CENTIMETER}
LENGTHS = {INCH: Fraction(254, 10_000), CENTIMETER: Fraction(1, 100), METER: Fraction(1)}
PNG_ERROR = Fraction(1, 70)  # in pixels per inch: PNG rounds 300 in an inch to 11811 in a meter


class Density(NamedTuple):
    """Pixels in a unit of length, across and down; without a unit, only their proportion means anything."""

    x: Fraction
    y: Fraction
    unit: int

    def per(self, unit: int) -> "Density":
        """Returns the density in another unit; one without a unit stays as it is."""
        if self.unit in (NO_UNIT, unit):
            return self
        factor = LENGTHS[unit] / LENGTHS[self.unit]
        return Density(self.x * factor, self.y * factor, unit)

    def without_meters(self) -> "Density":
        """Returns a density in meters as one in inches, rounded as it was before PNG rounded it; others stay."""
        if self.unit != METER:
            return self
        x, y, _ = self.per(INCH)
        near = [Fraction(round(value)) if abs(value - round(value)) < PNG_ERROR else value for value in (x, y)]
        return Density(near[0], near[1], INCH)

    def as_tags(self) -> tiff.Tags:
        """Returns the tags of TIFF and EXIF."""
        x, y, unit = self.without_meters()
        return {
            tiff.X_RESOLUTION: tiff.rational(x),
            tiff.Y_RESOLUTION: tiff.rational(y),
            tiff.RESOLUTION_UNIT: tiff.short(unit + 1),
        }


def make_density(x: Fraction | int, y: Fraction | int, unit: int) -> Density | None:
    """Returns a density; None for numbers that say nothing."""
    is_known = x > 0 and y > 0 and unit in range(4) and (x, y, unit) != (1, 1, NO_UNIT)
    return Density(Fraction(x), Fraction(y), unit) if is_known else None


def density_of_tags(tags: tiff.Tags) -> Density | None:
    """Returns the density that TIFF or EXIF states, None where it states none."""
    values = []
    for tag in (tiff.X_RESOLUTION, tiff.Y_RESOLUTION):
        _, value = tags.get(tag, (0, b""))
        numerator, denominator = int.from_bytes(value[:4], "little"), int.from_bytes(value[4:8], "little")
        if not numerator or not denominator:
            return None
        values.append(Fraction(numerator, denominator))
    _, unit = tags.get(tiff.RESOLUTION_UNIT, (0, b"\2"))
    return make_density(values[0], values[1], TIFF_UNITS.get(int.from_bytes(unit[:2], "little"), NO_UNIT))
