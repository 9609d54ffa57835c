"""Every kind of metadata from every format into every format: what is kept, changed, or dropped with a note.

The table in docs/reference/files.md is what this test measures; outputs are read by Pillow and, where it is
installed, exiftool.
"""

import io
import json
import re
import shutil
import struct
import subprocess
import zlib
from fractions import Fraction
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import pyvips
from PIL import Image

from photochrom.imaging import tiff
from photochrom.imaging.metadata import Metadata, write_image
from photochrom.imaging.metadata.density import INCH, Density
from photochrom.imaging.metadata.photoshop import Resource
from photochrom.imaging.photo import Colorized, Provenance, open_photo

FORMATS = {".jpg": "JPEG", ".png": "PNG", ".tif": "TIFF", ".webp": "WebP", ".avif": "AVIF"}
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "files.md"
RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
AB = np.full((2, 3, 3), 0.1, np.float32)
LONG_TEXT = "Left to right: A. Example, B. Example. " * 3000
PACKET = f"""<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:mine="http://example.org/"
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/"
 xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
 xmlns:GCamera="http://ns.google.com/photos/1.0/camera/" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"
 xmp:Rating="4" xmp:Label="Red" mine:box="17" photoshop:City="Como" crs:Exposure2012="+0.35" mine:two="a&#xA;b"
 tiff:Orientation="6" tiff:SamplesPerPixel="1" photoshop:ColorMode="1" photoshop:ICCProfile="Dot Gain 20%"
 exif:PixelXDimension="40" tiff:ImageWidth="40" GCamera:MotionPhoto="1" hdrgm:GainMapMax="1.0">
<dc:title><rdf:Alt><rdf:li xml:lang="x-default">Lyön</rdf:li></rdf:Alt></dc:title>
<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{LONG_TEXT}</rdf:li></rdf:Alt></dc:description>
<xmp:Thumbnails><rdf:Alt><rdf:li>gray</rdf:li></rdf:Alt></xmp:Thumbnails>
<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource">
<mwg-rs:Area stArea:x="0.25" stArea:y="0.3" stArea:w="0.1" stArea:h="0.2" stArea:unit="normalized"/>
</rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>
</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>""".encode()
XMP_KEPT = {"Rating": "4", "Label": "Red", "box": "17", "City": "Como", "two": "a\nb"}
XMP_KEPT |= {"title": "Lyön"}
XMP_GRAY = ("SamplesPerPixel", "ColorMode", "ICCProfile")
IPTC = b"\x1c\x01\x5a\x00\x03\x1b%G\x1c\x02\x05\x00\x04Gare\x1c\x02\x50\x00\x06M\xc3\xbcnch"
IPTC_GRAY = b"\x1c\x03\x14\x00\x02\x00\x28\x1c\x03\x56\x00\x01\x08"  # 40 columns, 8 bits
TEXTS = [
    (b"tEXt", b"Creation Time\x001931-07-04"),
    (b"tEXt", b"Gr\xf6\xdfe\x0020 x 30 \xb5m"),
    (b"zTXt", b"Source\0\0" + zlib.compress(b"attic")),
    (b"iTXt", b"Title\0\0\0de\0Titel\0" + "Großmutter".encode()),
]


def content(element):
    """The text below an element; attributes where there is none."""
    return "".join(element.itertext()).strip() or [part.attrib for part in element.iter() if part.attrib]


def text(value):
    return tiff.ASCII, value.encode() + b"\0"


def rationals(*values):
    return tiff.RATIONAL, struct.pack(f"<{2 * len(values)}I", *(part for value in values for part in (value, 1)))


# HostComputer, DocumentName, ImageDescription, Make, PageName, DateTime, Artist, ProcessingSoftware, Copyright
IMAGE = {tag: text(f"text {tag}") for tag in (11, 269, 270, 271, 285, 306, 315, 316, 33432, 37395)}
WINDOWS = {tag: (tiff.BYTE, f"Groß {tag}\0".encode("utf-16-le")) for tag in range(40091, 40096)}  # XPTitle to XPSubject
WINDOWS |= {18246: tiff.short(4), 18249: tiff.short(75)}  # Rating, RatingPercent
CAMERA = {33434: rationals(3), 34855: tiff.short(400), 36867: text("1931:07:04 12:00:00"), 42036: text("Petzval")}
CAMERA |= {36881: text("+02:00"), 42033: text("4711"), 37386: (tiff.SRATIONAL, struct.pack("<2i", -3, 2))}
CAMERA |= {36864: (tiff.UNDEFINED, b"0232"), 42016: text("0123456789abcdef")}
PLACE = {0: (tiff.BYTE, b"\2\3\0\0"), 1: text("N"), 2: rationals(48, 50, 30), 3: text("E"), 4: rationals(9, 5, 1)}
PLACE |= {17: rationals(90), 29: text("1931:07:04")}
EXCHANGE = {1: text("R98"), 2: (tiff.UNDEFINED, b"0100")}
GRAY = {258: tiff.short(8), 262: tiff.short(1), 277: tiff.short(1)}  # bits, photometric interpretation, samples
MOVABLE, FIXED = b"Nikon\0\2\x10\0\0MM\0*" + bytes(40), b"Canon-like" + bytes(range(60))
RESOLUTION = {282: rationals(600), 283: rationals(300), 296: tiff.short(2)}


def make_original(suffix, note=MOVABLE, more=None):
    """A gray photo of 40 x 24 pixels, stored lying on its side (6), with every kind of metadata."""
    image = (
        IMAGE | WINDOWS | RESOLUTION | {tiff.ORIENTATION: tiff.short(6), tiff.SOFTWARE: text("Scan 3")} | (more or {})
    )
    if suffix != ".tif":
        image |= GRAY | {256: tiff.short(40), 257: tiff.short(24)}
    exif = CAMERA | {40962: tiff.short(40), 40963: tiff.short(24), tiff.COLOR_SPACE: tiff.short(65535)}
    exif |= {tiff.MAKER_NOTE: (tiff.UNDEFINED, note), 37396: (tiff.SHORT, struct.pack("<4H", 10, 6, 4, 2))}
    resources = [Resource(b"8BIM", 1028, b"\0\0", IPTC + IPTC_GRAY), Resource(b"8BIM", 1034, b"\0\0", b"\1")]
    resources += [Resource(b"8BIM", 1036, b"\0\0", bytes(28)), Resource(b"8BIM", 2000, b"\4path\0", bytes(26))]
    record = Metadata(
        tiff.TagSets(image, exif, dict(PLACE), dict(EXCHANGE), maker_note_at=8),
        PACKET,
        resources,
        comments=[b"Grandmother, 1931"] if suffix == ".jpg" else [],
        chunks=[*TEXTS, (b"tIME", b"\7\x8b\7\4\x0c\0\0")] if suffix == ".png" else [],
        density=Density(Fraction(600), Fraction(300), INCH),
    )
    pixels = pyvips.Image.new_from_array(np.tile(np.arange(40, dtype=np.uint8), (24, 1))[..., None])
    file = io.BytesIO()
    write_image(file, pixels.copy(interpretation="b-w"), suffix, record, {"lossless": True} if "v" in suffix else {})
    blob = file.getvalue()
    if suffix == ".jpg":  # a segment of another program, and a gain map
        blob = blob[:2] + b"\xff\xe4\0\x06ours\xff\xe2\0\x1eurn:iso:std:iso:ts:21496:-1\0" + blob[2:]
    if suffix == ".png":
        blob = blob[:33] + b"\0\0\0\4vpAgours" + zlib.crc32(b"vpAgours").to_bytes(4) + blob[33:]
    return blob


class File:
    """What Pillow and a few lines of our own read in a file."""

    def __init__(self, blob):
        image = Image.open(io.BytesIO(blob))
        self.blob, self.image, self.exif = blob, image, image.getexif()
        self.inner, self.gps = self.exif.get_ifd(0x8769), self.exif.get_ifd(0x8825)
        self.interoperability = self.exif.get_ifd(0xA005)
        segments = [body for _, body in getattr(image, "applist", ())]
        extended = [body[75:] for body in segments if body.startswith(b"http://ns.adobe.com/xmp/extension/\0")]
        self.properties = {}
        for packet in (image.info["xmp"], b"".join(extended)):
            for description in ElementTree.fromstring(packet).iter(RDF + "Description") if packet else ():
                self.properties |= {name.partition("}")[2]: value for name, value in description.items()}
                self.properties |= {part.tag.partition("}")[2]: content(part) for part in description}
        self.chunks = list(self.read_chunks()) if blob.startswith(b"\x89PNG") else []

    def read_chunks(self):
        place = 8
        while place < len(self.blob):
            size = int.from_bytes(self.blob[place : place + 4])
            yield self.blob[place + 4 : place + 8], self.blob[place + 8 : place + 8 + size]
            place += 12 + size

    def tags(self, names, directory="exif"):
        tags = getattr(self, directory)
        return {tag: str(tags[tag]).rstrip("\0") for tag in names if tag in tags}

    def resources(self):
        """Photoshop resources, wherever the format has them."""
        for kind, body in self.chunks:
            if kind == b"zTXt" and body.startswith(b"Raw profile type iptc"):
                digits = zlib.decompress(body.partition(b"\0")[2][1:]).split()[2:]
                return bytes.fromhex(b"".join(digits).decode())
        parts = [body for kind, body in getattr(self.image, "applist", ()) if kind == "APP13"]
        return b"".join(parts) or bytes(self.exif.get(33723, b"")) + bytes(self.exif.get(34377, b""))

    def comments(self):
        comments = [body.decode() for kind, body in getattr(self.image, "applist", ()) if kind == "COM"]
        comments += [body.partition(b"\0")[2].decode() for kind, body in self.chunks if body.startswith(b"Comment\0")]
        comment = bytes(self.inner.get(37510, b""))
        return comments + [comment[8:].decode("ascii" if comment[:5] == b"ASCII" else "utf-16-le")] * bool(comment)

    def texts(self):
        """Text chunks of PNG, or the same as comments."""
        chunks = [chunk for chunk in self.chunks if chunk in TEXTS]
        comments = "\n".join(self.comments())
        wanted = ("Creation Time: 1931", "Größe: 20 x 30 µm", "Source: attic", "Title: Großmutter")
        return chunks or [part for part in wanted if part in comments]


def resolution(file):
    """Unit and both numbers; which is which turns with the pixels."""
    info = file.image.info
    if file.image.format == "PNG":
        return 1, sorted(round(value) for value in info["dpi"])
    if file.image.format == "JPEG":
        return info["jfif_unit"], sorted(info["jfif_density"])
    return file.exif[296] - 1, sorted(round(float(file.exif[tag])) for tag in (282, 283))


def has(file, *names):
    return {name: file.properties[name] for name in names if name in file.properties}


KINDS = {
    "EXIF: description, author, dates, scanner, pages": lambda file: file.tags(IMAGE),
    "EXIF: rating and Windows tags (`XPTitle`, ...)": lambda file: file.tags(WINDOWS),
    "EXIF: exposure, lens, dates, time zones": lambda file: file.tags(CAMERA, "inner"),
    "EXIF: GPS": lambda file: file.tags(PLACE, "gps"),
    "EXIF: interoperability": lambda file: file.tags(EXCHANGE, "interoperability"),
    "maker note with offsets of its own (Nikon, Apple, ...)": lambda file: has_note(file, MOVABLE),
    "maker note with offsets in the file (Canon, Sony, ...)": lambda file: has_note(file, FIXED),
    "resolution and its unit": resolution,
    "XMP": lambda file: has(file, *XMP_KEPT),
    "XMP of more than 64 KB": lambda file: has(file, "description"),
    "IPTC": lambda file: IPTC in file.resources(),
    "other resources of Photoshop": lambda file: b"8BIM\4\x0a\0\0\0\0\0\1\1" in file.resources(),
    "comment of JPEG": lambda file: "Grandmother, 1931" in "\n".join(file.comments()),
    "text of PNG": File.texts,
    "time of the last change of PNG": lambda file: [body for kind, body in file.chunks if kind == b"tIME"],
    "orientation": lambda file: (file.exif.get(274, 1), has(file, "Orientation")),
    "sizes": lambda file: file.tags((40962, 40963), "inner") | has(file, "ImageWidth", "PixelXDimension"),
    "face regions, subject area": lambda file: (has(file, "Regions"), file.inner.get(37396)),
    "description of gray pixels": lambda file: (
        has(file, *XMP_GRAY) or file.exif.get(262) == 1 or IPTC_GRAY in file.resources()
    ),
    "`ColorSpace`": lambda file: file.inner.get(40961),
    "`Software`": lambda file: file.exif.get(305),
    "thumbnails": lambda file: has(file, "Thumbnails") or b"8BIM\4\x0c" in file.resources(),
    "motion photo, gain map, further pictures": lambda file: has(file, "MotionPhoto", "GainMapMax"),
    "develop settings of raw converters": lambda file: has(file, "Exposure2012"),
    "paths and guides of Photoshop, if the photo is turned": lambda file: b"8BIM\7\xd0" in file.resources(),
    "segments and chunks of other programs": lambda file: [ours for ours in (b"\6ours", b"vpAg") if ours in file.blob],
}
TURNED = ("orientation", "sizes", "face", "paths")  # an AVIF is upright already
REMOVED = ("description of gray pixels", "thumbnails")  # without a note: they would be untrue
NOTES = {
    "maker": "maker note",
    "time": "time of a PNG's last change",
    "motion": "attached to the photo",
    "develop": "develop settings",
    "paths": "paths, guides and slices",
    "segments": "of other programs",
}


def has_note(file, note):
    return bytes(file.inner.get(37500, b"")) == note


def colorize(blob, suffix):
    photo = open_photo(blob)
    return Colorized(photo, AB, Provenance("default", "1", 7)).to_bytes(suffix), photo.reader.notes


def outcome(kind, before, after, notes):
    if after == before:
        return "kept"
    if after:
        return "becomes comments" if kind == "text of PNG" else "changed"
    assert kind in REMOVED or any(NOTES[kind.split()[0]] in note for note in notes), (kind, notes)
    return "removed" if kind in REMOVED else "dropped with a note"


def measure():
    """The outcome of each kind and output format, from each format that has the kind."""
    outcomes = {kind: {suffix: {} for suffix in FORMATS} for kind in KINDS}
    for source in FORMATS:
        for note in (MOVABLE, FIXED):
            blob = make_original(source, note)
            before = File(blob)
            for suffix in FORMATS:
                copy, notes = colorize(blob, suffix)
                after = File(copy)
                for kind, read in KINDS.items():
                    value = read(before)
                    if value and not (source == ".avif" and kind.startswith(TURNED)):
                        outcomes[kind][suffix][FORMATS[source]] = outcome(kind, value, read(after), notes)
    return outcomes


def cell(by_source):
    common = max(set(by_source.values()), key=list(by_source.values()).count)
    others = {source: result for source, result in by_source.items() if result != common}
    return "; ".join([common, *(f"{result} from {source}" for source, result in others.items())])


@pytest.fixture(scope="module")
def table():
    rows = [f"| kind | {' | '.join(FORMATS.values())} |", "|---" * (len(FORMATS) + 1) + "|"]
    for kind, by_suffix in measure().items():
        rows.append(f"| {kind} | {' | '.join(map(cell, by_suffix.values()))} |")
    return "\n".join(rows)


def test_the_table_of_the_page_is_what_is_measured(table):
    assert table in PAGE.read_text(encoding="utf-8"), f"put this into {PAGE.name}:\n{table}"


# What exiftool sees differently in a copy, or not at all: see the table.
CHANGED = (
    "Orientation|Software|ColorSpace|[XY]Resolution|.*Image(Width|Height)|BitsPerSample|SamplesPerPixel|Photometric.*"
)
CHANGED += "|Compression|Strip.*|RowsPerStrip|PlanarConfiguration|SampleFormat|Predictor|ColorMode|ICCProfileName"
CHANGED += "|Thumb.*|Region.*|SubjectArea|Exposure2012|MotionPhoto|GainMapMax|HasExtendedXMP|PhotoshopThumbnail|.*Path"
CHANGED += "|IPTCImageWidth|IPTCBitsPerSample|CurrentIPTCDigest"
GROUPS = ("IFD0", "ExifIFD", "GPS", "InteropIFD", "IPTC", "XMP-", "Photoshop")


def exiftool(folder):
    """All tags of the files in a folder, by name of the file."""
    command = ["exiftool", "-j", "-a", "-G1", "-n", str(folder)]
    records = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {Path(record["SourceFile"]).name: record for record in records}


@pytest.mark.skipif(not shutil.which("exiftool"), reason="exiftool is not installed")
def test_exiftool_sees_every_tag_of_the_original_in_each_copy(tmp_path):
    for source in FORMATS:
        blob = make_original(source)
        (tmp_path / f"original{source}").write_bytes(blob)
        for suffix in FORMATS:
            (tmp_path / f"{source[1:]}{suffix}").write_bytes(colorize(blob, suffix)[0])
    records = exiftool(tmp_path)
    for source in FORMATS:
        original = records[f"original{source}"]
        expected = {tag: value for tag, value in original.items() if tag.startswith(GROUPS)}
        expected = {tag: value for tag, value in expected.items() if not re.fullmatch(CHANGED, tag.split(":")[1])}
        assert len(expected) > 40
        for suffix in FORMATS:
            copy = records[f"{source[1:]}{suffix}"]
            assert {tag: copy.get(tag) for tag in expected} == expected, (source, suffix)
            assert copy["IFD0:Software"].startswith("Photochrom ")
            assert copy["ExifIFD:ColorSpace"] == 1
