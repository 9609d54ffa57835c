"""Provenance: the marks that say which model coloured a photograph, beside the metadata it already had."""

import io
import re
import struct
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pyvips

from .._version import __version__
from . import tiff

AllTags = tuple[tiff.Tags, tiff.Tags, tiff.Tags]  # of the photograph, EXIF, GPS
PHOTOSHOP = b"Photoshop 3.0\0"
COLOR_SPACE, SHORT, SRGB = 40961, 3, b"\1\0"  # an EXIF tag, its type and its value
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "photochrom": "urn:photochrom:1.0:",
}


@dataclass(frozen=True)
class Provenance:
    """Which model coloured a photograph: its name, its version and the seed of the colours."""

    model: str
    version: str
    seed: int

    @property
    def software(self) -> str:
        """One line for EXIF Software, such as ``Photochrom 0.1.0 (model default 1, seed 0)``."""
        return f"Photochrom {__version__} (model {self.model} {self.version}, seed {self.seed})"


def _name(short: str) -> str:
    prefix, _, local = short.partition(":")
    return f"{{{NAMESPACES[prefix]}}}{local}"


def _tree(packet: bytes) -> ElementTree.Element | None:
    """The XML of an XMP packet with its own prefixes kept; None where it is not XML or defines entities."""
    body = packet.strip(b"\0 \r\n\t\xef\xbb\xbf")
    if b"<!ENTITY" in body or b"<!DOCTYPE" in body:
        return None
    for prefix, uri in re.findall(rb"xmlns:([A-Za-z_][\w.-]*)\s*=\s*[\"']([^\"']+)[\"']", body):
        if not re.fullmatch(rb"ns\d+", prefix):
            ElementTree.register_namespace(prefix.decode(), uri.decode())
    try:
        return ElementTree.fromstring(body)
    except ElementTree.ParseError:
        return None


def xmp(provenance: Provenance, packet: bytes | None = None) -> bytes:
    """`packet` with the marks added: IPTC digital source type, AI system and version (IPTC 2025.1), seed.

    What the packet says stays, but for an earlier mark and ``tiff:Orientation``, since the picture is upright.
    A packet that is not well-formed XML gives way to one with the marks alone.
    """
    for prefix, uri in NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    root = _tree(packet) if packet else None
    rdf = None if root is None else root if root.tag == _name("rdf:RDF") else root.find(_name("rdf:RDF"))
    if root is None or rdf is None:
        root = ElementTree.Element(_name("x:xmpmeta"))
        rdf = ElementTree.SubElement(root, _name("rdf:RDF"))
    marks = {
        "Iptc4xmpExt:DigitalSourceType": SOURCE_TYPE,
        "Iptc4xmpExt:AISystemUsed": f"Photochrom {__version__}, model {provenance.model}",
        "Iptc4xmpExt:AISystemVersionUsed": provenance.version,
        "photochrom:Model": provenance.model,
        "photochrom:Version": provenance.version,
        "photochrom:Seed": str(provenance.seed),
    }
    about = ""
    for description in rdf.findall(_name("rdf:Description")):
        about = description.get(_name("rdf:about"), about)
        for short in marks:
            description.attrib.pop(_name(short), None)
            for child in description.findall(_name(short)):
                description.remove(child)
        if description.get(_name("tiff:Orientation")):
            description.set(_name("tiff:Orientation"), "1")
        for child in description.findall(_name("tiff:Orientation")):
            child.text = "1"
    added = ElementTree.SubElement(rdf, _name("rdf:Description"), {_name("rdf:about"): about})
    for short, value in marks.items():
        ElementTree.SubElement(added, _name(short)).text = value
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{text}\n<?xpacket end="w"?>'.encode()


KEPT = ("exif-", "xmp-data", "iptc-data", "png-comment-", "resolution-unit")
blob, text, number = pyvips.GValue.blob_type, pyvips.GValue.gstr_type, pyvips.GValue.gint_type


Fields = dict[str, tuple[int, Any]]


def fields(header: pyvips.Image) -> Fields:
    """Type and value of what is kept of a photograph's metadata.

    To be called before its pixels are read: libvips changes an image's metadata while another thread reads its pixels.
    """
    return {name: (header.get_typeof(name), header.get(name)) for name in header.get_fields() if name.startswith(KEPT)}


def add_metadata(
    image: pyvips.Image, resolution: tuple[float, float], kept: Fields, tags: AllTags, provenance: Provenance | None
) -> pyvips.Image:
    """`image` with a resolution and the metadata of `fields` and `tags`, upright and sRGB, and with `provenance`."""
    image = image.copy(xres=resolution[0], yres=resolution[1])
    for name, (kind, value) in kept.items():
        image.set_type(kind, name, value)
    first, exif, gps = tags
    if first.get(tiff.IPTC):
        image.set_type(blob, "iptc-data", _resource(first[tiff.IPTC][1]))
        first = {tag: value for tag, value in first.items() if tag != tiff.IPTC}
    if first or exif or gps:
        image.set_type(blob, "exif-data", tiff.block(first, exif, gps))
    image.set_type(number, "orientation", 1)
    image.remove("jpeg-thumbnail-data")  # it is gray
    if image.get_typeof("exif-ifd2-ColorSpace"):
        image.set_type(text, "exif-ifd2-ColorSpace", "1")
    if provenance is not None:
        _, packet = kept.get("xmp-data", (0, None))
        image.set_type(blob, "xmp-data", xmp(provenance, packet))
        image.set_type(text, "exif-ifd0-Software", provenance.software + " ()")  # libvips drops the last bracket
    return image


def is_colorized(header: pyvips.Image) -> bool:
    """Whether a header bears the mark of Photochrom: in XMP or, where another program left that out, in EXIF."""
    if header.get_typeof("xmp-data") and NAMESPACES["photochrom"].encode() in header.get("xmp-data"):
        return True
    software = "exif-ifd0-Software"
    return bool(header.get_typeof(software)) and header.get(software).startswith("Photochrom ")


def _resource(iptc: bytes) -> bytes:
    """IPTC-IIM records as JPEG holds them, in a Photoshop resource."""
    return PHOTOSHOP + b"8BIM\4\4\0\0" + struct.pack(">I", len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def _records(field: bytes) -> bytes:
    """The IPTC-IIM records in what libvips found: bare, or among Photoshop's resources."""
    at = field.find(b"8BIM\4\4")
    if at < 0:
        return field if field.startswith(b"\x1c") else b""
    start = at + 6 + 2 * (1 + field[at + 6] // 2)  # after the resource's name, padded to an even size
    return field[start + 4 : start + 4 + int.from_bytes(field[start : start + 4])]


def tag(file: io.BufferedIOBase, image: pyvips.Image, provenance: Provenance) -> None:
    """The EXIF and IPTC of `image` and the mark into the TIFF `file` that libvips made of it."""
    block = image.get("exif-data") if image.get_typeof("exif-data") else b""
    first, exif, gps = tiff.read(io.BytesIO(block.removeprefix(b"Exif\0\0")))
    if exif:
        exif = exif | {COLOR_SPACE: (SHORT, SRGB)}
    iptc = _records(image.get("iptc-data")) if image.get_typeof("iptc-data") else b""
    if iptc:
        first = first | {tiff.IPTC: (tiff.UNDEFINED, iptc)}
    tiff.add(file, first | {tiff.SOFTWARE: tiff.text(provenance.software)}, exif, gps)


def pillow_info(image: pyvips.Image, provenance: Provenance | None) -> dict[str, bytes]:
    """Profile, EXIF and XMP of `image`, as Pillow keeps and writes them."""
    from PIL import Image

    info = {"icc_profile": pyvips.Operation.call("profile_load", "srgb")}
    if image.get_typeof("xmp-data"):
        info["xmp"] = image.get("xmp-data")
    exif = Image.Exif()
    if image.get_typeof("exif-data"):
        exif.load(image.get("exif-data"))
    exif[0x0112] = 1
    if provenance is not None:
        exif[tiff.SOFTWARE] = provenance.software
    return info | {"exif": exif.tobytes()}
