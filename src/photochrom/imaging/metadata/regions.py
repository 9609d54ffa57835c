"""Regions in XMP, such as faces with names, and the subject of EXIF: they turn with the pixels.

Those of the Metadata Working Group ("Guidelines for Handling Image Metadata" 2.0, 5.9), of ACDSee, of Microsoft and of
IPTC ("Photo Metadata Standard", Image Region).
"""

import math
from collections.abc import Callable
from xml.etree.ElementTree import Element

from .geometry import Box, Turn
from .packet import RDF

MWG, ST_AREA = "{http://www.metadataworkinggroup.com/schemas/regions/}", "{http://ns.adobe.com/xmp/sType/Area#}"
ST_DIM = "{http://ns.adobe.com/xap/1.0/sType/Dimensions#}"
ACDSEE, ACDSEE_AREA = "{http://ns.acdsee.com/regions/}", "{http://ns.acdsee.com/sType/Area#}"
ACDSEE_DIM = "{http://ns.acdsee.com/sType/Dimensions#}"
MICROSOFT_RECTANGLE = "{http://ns.microsoft.com/photo/1.2/t/Region#}Rectangle"
IPTC_EXT = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
CENTERED_AREAS = {MWG + "Area": ST_AREA, ACDSEE + "DLYArea": ACDSEE_AREA, ACDSEE + "ALGArea": ACDSEE_AREA}
DIMENSIONS = {MWG + "AppliedToDimensions": ST_DIM, ACDSEE + "AppliedToDimensions": ACDSEE_DIM}
SUBJECTS = tuple("{http://ns.adobe.com/exif/1.0/}" + name for name in ("SubjectArea", "SubjectLocation"))
IPTC_VERTEX = ("rbX", "rbY", "rbW", "rbH")


def turn_regions(root: Element, turn: Turn) -> None:
    """Turns all regions below an element, in place; what is no number stays."""
    if turn.orientation == 1:
        return
    _turn_subjects(root, turn)
    scale = dimensions = turn.stored
    for element in root.iter():
        if element.tag in DIMENSIONS:
            dimensions = _turn_dimensions(element, DIMENSIONS[element.tag], turn) or dimensions
    if dimensions == turn.upright != turn.stored:
        return  # the regions were drawn on the upright image
    for element in root.iter():
        if element.tag in CENTERED_AREAS:
            names = [CENTERED_AREAS[element.tag] + name for name in ("x", "y", "w", "h")]
            in_pixels = _read(element, CENTERED_AREAS[element.tag] + "unit") == "pixel"
            _turn_struct(element, names, turn, dimensions if in_pixels else (1, 1), 0)
        elif element.tag == IPTC_EXT + "RegionBoundary":
            in_pixels = _read(element, IPTC_EXT + "rbUnit") == "pixel"
            _turn_boundary(element, turn, scale if in_pixels else (1, 1))
        elif element.tag == MICROSOFT_RECTANGLE:
            element.text = _turn_rectangle(element.text or "", turn)
        if MICROSOFT_RECTANGLE in element.attrib:
            element.set(MICROSOFT_RECTANGLE, _turn_rectangle(element.attrib[MICROSOFT_RECTANGLE], turn))


def _turn_dimensions(element: Element, namespace: str, turn: Turn) -> tuple[int, int] | None:
    """Swaps width and height in a structure unless they are upright already; returns what they were."""
    width, height = (_number(_read(element, namespace + name)) for name in ("w", "h"))
    if width is None or height is None:
        return None
    dimensions = round(width), round(height)
    if turn.swaps_axes and (dimensions != turn.upright or dimensions == turn.stored):
        _write(element, namespace + "w", height)
        _write(element, namespace + "h", width)
    return dimensions


def _turn_subjects(root: Element, turn: Turn) -> None:
    for subject in (element for name in SUBJECTS for element in root.iter(name)):
        items = list(subject.iter(RDF + "li"))
        values = [round(value) for item in items if (value := _number(item.text)) is not None]
        if len(values) == len(items) >= 2:
            for item, turned in zip(items, turn.area(values), strict=True):
                item.text = str(turned)


def _turn_boundary(boundary: Element, turn: Turn, scale: tuple[float, float]) -> None:
    """Turns a rectangle by its corner and size, a circle by its center, a polygon by its points."""
    names = [IPTC_EXT + name for name in IPTC_VERTEX]
    for element in boundary.iter():
        has_place = all(name in element.attrib or element.find(name) is not None for name in names[:2])
        if has_place:
            _turn_struct(element, names, turn, scale, 0.5)
    radius = _number(_read(boundary, IPTC_EXT + "rbRx"))
    if turn.swaps_axes and radius is not None and scale == (1, 1):  # a share of the width
        _write(boundary, IPTC_EXT + "rbRx", radius * turn.stored[0] / turn.upright[0])


def _turn_struct(element: Element, names: list[str], turn: Turn, scale: tuple[float, float], anchor: float) -> None:
    """Turns x, y, width and height of a structure; `anchor` sizes lie between its center and its x and y."""
    values = [_number(_read(element, name)) for name in names]
    if values[0] is None or values[1] is None:
        return
    turned = _turn_values([value or 0.0 for value in values], turn, scale, anchor)
    for name, old, new in zip(names, values, turned, strict=True):
        if old is not None:
            _write(element, name, new)


def _turn_rectangle(text: str, turn: Turn) -> str:
    """Turns Microsoft's "x, y, width, height", shares of the image from the upper left corner."""
    values = [_number(part) for part in text.split(",")]
    known = [value for value in values if value is not None]
    if len(values) != 4 or len(known) != 4:
        return text
    return ", ".join(map(_format, _turn_values(known, turn, (1, 1), 0.5)))


def _turn_values(values: list[float], turn: Turn, scale: tuple[float, float], anchor: float) -> list[float]:
    x, y, width, height = values
    share = Box(x / scale[0], y / scale[1], width / scale[0], height / scale[1])
    share = share._replace(x=share.x + anchor * share.width, y=share.y + anchor * share.height)
    box = turn.box(share)
    across, down = scale[::-1] if turn.swaps_axes else scale
    left, top = box.x - anchor * box.width, box.y - anchor * box.height
    return [left * across, top * down, box.width * across, box.height * down]


def _find(element: Element, name: str, use: Callable[[Element, bool], str | None]) -> str | None:
    """Calls `use` with the place of a field, an attribute (True) or an element, in a structure."""
    for part in element.iter():
        if name in part.attrib:
            return use(part, True)
        if part.tag == name:
            return use(part, False)
    return None


def _read(element: Element, name: str) -> str | None:
    return _find(element, name, lambda part, is_attribute: part.get(name) if is_attribute else part.text)


def _write(element: Element, name: str, value: float) -> None:
    def put(part: Element, is_attribute: bool) -> None:
        if is_attribute:
            part.set(name, _format(value))
        else:
            part.text = _format(value)

    _find(element, name, put)


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _format(value: float) -> str:
    return f"{round(value, 9):.10g}"
