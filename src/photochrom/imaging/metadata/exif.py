"""EXIF of outputs: every tag of the original but those that would be untrue of the colorized pixels."""

import io
import re

import numpy as np

from .. import tiff
from ..notes import Notes
from .colors import ADOBE_RGB, INTEROPERABILITY_INDEX
from .geometry import Turn
from .provenance import Provenance

SUBJECT_AREA, SUBJECT_LOCATION, USER_COMMENT, COMPONENTS = 37396, 41492, 37510, 37121
GAMMA, COMPRESSED_BITS = 42240, 37122
OFFSET_SCHEMA = 59933  # how far a maker note was moved
FOCAL_PLANE = 41486, 41487  # its resolution, across and down
SIZES, PIXEL_SIZES, RELATED_SIZES = (256, 257), (40962, 40963), (4097, 4098)  # width and height
# How the original's pixels were stored, and the color space of before: subfile type, bits, compression, photometric
# interpretation, fill order, samples, strips, gray response, transfer function, predictor, white point, primaries,
# color map, halftone hints, tiles, fax data, inks, extra samples, sample formats, old-style JPEG, YCbCr coefficients,
# sampling, positions and reference levels, matte, data type (libtiff takes it for the sample format), depth, profile.
UNTRUE = {254, 255, 258, 259, 262, *range(263, 267), *range(277, 282), 284, 290, 291, 292, 293, 301, 317, 318, 319, 320}
UNTRUE |= {*range(321, 324), *range(326, 329), *range(332, 337), *range(338, 347), *range(512, 522), *range(529, 533)}
UNTRUE |= {*range(32995, 32998), 34675, 700, tiff.IPTC, tiff.PHOTOSHOP}
# Of DNG 1.7, for whose raw data a reader would take the copy, but for names of camera, lens, file, reel, times and
# titles; Photoshop's layers and annotations; ImageJ's gray levels and regions; a signature of the original's bytes.
DESCRIPTIVE = {50708, 50709, 50735, 50736, 50827, 50898, 50899, 51043, 51044, 51058, 51081, 51105}
DNG = {*range(50706, 50753), *range(50778, 50782), *range(50827, 50835), 50879, 50885, *range(50931, 50943)}
DNG |= {*range(50964, 50983), 51008, 51009, 51022, *range(51041, 51092), *range(51105, 51115), 51125}
DNG |= {*range(51177, 51183), *range(52525, 52545), *range(52546, 52555)}
DROPPED = dict.fromkeys(DNG - DESCRIPTIVE, "camera raw data")
DROPPED |= dict.fromkeys((37724, 50255, 50784), "layers") | dict.fromkeys((50838, 50839), "data of ImageJ")
DROPPED[52545] = "content credentials (C2PA)"
TURNED = dict.fromkeys((33550, 33922, 34264, 50844), "places on the map (GeoTIFF)")  # in the stored image
# Maker notes whose offsets count from their own start: those of Nikon, Olympus, OM System, Fujifilm, Apple and Pentax.
RELOCATABLE = (b"Nikon\0\2", b"OLYMPUS\0", b"OM SYSTEM\0", b"FUJIFILM", b"Apple iOS\0", b"PENTAX \0", b"HDRP")
MAX_NOTE_AT = 60_000  # place of a maker note in a block of JPEG, which has at most 64 KB
NO_MAKER_NOTE = "the camera's maker note was left out"


def corrected(tags: tiff.TagSets, turn: Turn, provenance: Provenance, notes: Notes) -> tiff.TagSets:
    """Returns the tags for an upright color image; adds to `notes` what it leaves out."""
    image = {tag: value for tag, value in tags.image.items() if tag not in UNTRUE}
    exif, interoperability = dict(tags.exif), dict(tags.interoperability)
    dropped = DROPPED if turn.orientation == 1 else DROPPED | TURNED
    for note in dict.fromkeys(dropped[tag] for tag in image if tag in dropped):
        notes.add(f"{note} of the original were left out")
    image = {tag: value for tag, value in image.items() if tag not in dropped}
    image[tiff.SOFTWARE] = tiff.ASCII, provenance.software.encode() + b"\0"
    if tiff.ORIENTATION in image:
        image[tiff.ORIENTATION] = tiff.short(1)
    if exif:
        exif[tiff.COLOR_SPACE] = tiff.short(1)  # sRGB
    if read_text(interoperability, INTEROPERABILITY_INDEX) == ADOBE_RGB:
        interoperability[INTEROPERABILITY_INDEX] = tiff.ASCII, b"R98\0"
    image.pop(OFFSET_SCHEMA, None)
    for tag in (GAMMA, COMPRESSED_BITS, OFFSET_SCHEMA):
        exif.pop(tag, None)
    if needs_place(tags) and tags.maker_note_at > MAX_NOTE_AT:
        del exif[tiff.MAKER_NOTE]
        notes.add(f"{NO_MAKER_NOTE}: it cannot be moved within a file")
    if exif.get(COMPONENTS, (0, b""))[1] == b"\1\0\0\0":  # Y alone
        exif[COMPONENTS] = tiff.UNDEFINED, b"\1\2\3\0"
    _follow_pixels(image, exif, interoperability, turn)
    return tags._replace(image=image, exif=exif, gps=dict(tags.gps), interoperability=interoperability)


def _follow_pixels(image: tiff.Tags, exif: tiff.Tags, interoperability: tiff.Tags, turn: Turn) -> None:
    """Changes the tags of sizes, places and resolution into those of the upright image."""
    for directory, names in ((image, SIZES), (exif, PIXEL_SIZES), (interoperability, RELATED_SIZES)):
        for tag, size in zip(names, turn.upright, strict=True):
            if tag in directory:
                directory[tag] = tiff.LONG, size.to_bytes(4, "little")
    for tag in (SUBJECT_AREA, SUBJECT_LOCATION):
        kind, value = exif.get(tag, (0, b""))
        if kind == tiff.SHORT and len(value) >= 4:
            area = turn.area(np.frombuffer(value, "<u2").tolist())
            exif[tag] = kind, np.clip(area, 0, 65535).astype("<u2").tobytes()
    for directory, (across, down) in ((image, (tiff.X_RESOLUTION, tiff.Y_RESOLUTION)), (exif, FOCAL_PLANE)):
        x, y = directory.get(across), directory.get(down)
        if turn.swaps_axes and x and y:
            directory |= {across: y, down: x}


def orientation_of(tags: tiff.TagSets) -> int | None:
    """Returns EXIF Orientation, 1 to 8; None where it is missing or no such number."""
    _, value = tags.image.get(tiff.ORIENTATION, (0, b""))
    number = int.from_bytes(value[:4], "little")
    return number if 1 <= number <= 8 else None


def read_text(tags: tiff.Tags, tag: int) -> str:
    """Returns a text tag, "" where it is missing."""
    return tags.get(tag, (0, b""))[1].rstrip(b"\0 ").decode(errors="replace")


def read_block(block: bytes) -> tiff.TagSets:
    """Returns the tags of an EXIF block, with or without the prefix of JPEG."""
    return tiff.read_tags(io.BytesIO(block.removeprefix(b"Exif\0\0")))


def needs_place(tags: tiff.TagSets) -> bool:
    """Whether there is a maker note that may hold offsets in its file."""
    _, note = tags.exif.get(tiff.MAKER_NOTE, (0, b""))
    return bool(note) and not note.startswith(RELOCATABLE)


def pack_block(tags: tiff.TagSets) -> bytes:
    """Returns an EXIF block. A maker note that may hold offsets in the block stays at its place."""
    file = io.BytesIO((b"II*\0" if tags.order == "<" else b"MM\0*") + bytes(4))
    fixed = tags.maker_note_at if needs_place(tags) else 0
    if fixed:
        file = io.BytesIO(file.getvalue().ljust(fixed, b"\0") + tags.exif[tiff.MAKER_NOTE][1])
    tiff.write_tags(file, tags, note_at=fixed)
    return file.getvalue()


def fit_block(tags: tiff.TagSets, limit: int, notes: Notes) -> bytes:
    """Returns an EXIF block of at most `limit` bytes; adds to `notes` the tags that are too large."""
    block = pack_block(tags)
    while len(block) > limit:
        places = [(directory, tag) for directory in tags[:4] for tag in directory]
        places.sort(key=lambda place: len(place[0][place[1]][1]))
        excess = len(block) - limit
        while excess > 0:
            directory, tag = places.pop()
            size = len(directory.pop(tag)[1])
            name = "the maker note" if tag == tiff.MAKER_NOTE else f"tag {tag}"
            notes.add(f"{name} of EXIF was left out: its {size} bytes do not fit into the format")
            excess -= size
        block = pack_block(tags)
    return block


def has_comment(tags: tiff.Tags) -> bool:
    """Whether UserComment says anything after its character code."""
    return not re.fullmatch(rb"(ASCII|UNICODE|JIS)?[\0 ]*", tags.get(USER_COMMENT, (0, b""))[1])


def user_comment(text: str, order: str) -> tuple[int, bytes]:
    """Returns a tag's type and value for the EXIF tag UserComment, with its character code."""
    if text.isascii():
        return tiff.UNDEFINED, b"ASCII\0\0\0" + text.encode()
    return tiff.UNDEFINED, b"UNICODE\0" + text.encode("utf-16-le" if order == "<" else "utf-16-be")
