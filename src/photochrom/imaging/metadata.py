"""Metadata of outputs: what the original says stays, and the provenance says which model colorized it."""

import io
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pyvips

from .._version import __version__
from . import tiff

BLOB, TEXT, INTEGER = pyvips.GValue.blob_type, pyvips.GValue.gstr_type, pyvips.GValue.gint_type
COPIED_FIELDS = ("exif-", "xmp-data", "iptc-data", "png-comment-", "resolution-unit")  # prefixes of libvips' names
EXIF_SOFTWARE, EXIF_COLOR_SPACE = "exif-ifd0-Software", "exif-ifd2-ColorSpace"
IPTC_RESOURCE = b"8BIM\4\4"
SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "photochrom": "urn:photochrom:1.0:",
}
X, RDF, TIFF, IPTC_EXT, OWN = (f"{{{uri}}}" for uri in NAMESPACES.values())  # as ElementTree writes names


@dataclass(frozen=True)
class Provenance:
    """Which model colorized a photo: its name, its version and the random seed."""

    model: str
    version: str
    seed: int

    @property
    def software(self) -> str:
        """One line for EXIF Software, such as ``Photochrom 0.1.0 (model default 1, seed 0)``."""
        return f"Photochrom {__version__} (model {self.model} {self.version}, seed {self.seed})"


def read_field(image: pyvips.Image, name: str, default: Any) -> Any:
    """Returns a field of an image, such as ``exif-data``, or `default` where it has none."""
    return image.get(name) if image.get_typeof(name) else default


def tiff_fields(file: io.BufferedIOBase) -> dict[str, bytes]:
    """Returns EXIF and IPTC of a TIFF file, which libvips leaves out, in the form that it reads them from JPEG."""
    fields = {}
    tags = tiff.read_tags(file)
    _, iptc = tags.image.pop(tiff.IPTC, (0, b""))
    if iptc:
        # In a resource of Photoshop's, padded to an even size.
        resource = IPTC_RESOURCE + b"\0\0" + len(iptc).to_bytes(4) + iptc + b"\0" * (len(iptc) % 2)
        fields["iptc-data"] = b"Photoshop 3.0\0" + resource
    if any(tags):
        block = io.BytesIO(b"II*\0\0\0\0\0")
        tiff.write_tags(block, tags)
        fields["exif-data"] = b"Exif\0\0" + block.getvalue()
    return fields


def copy_metadata(original: pyvips.Image, image: pyvips.Image, provenance: Provenance) -> pyvips.Image:
    """Returns `image`, upright sRGB pixels, with the metadata of `original` and the provenance."""
    image = image.copy(xres=original.xres, yres=original.yres)
    for name in original.get_fields():
        if name.startswith(COPIED_FIELDS):
            image.set_type(original.get_typeof(name), name, original.get(name))
    image.set_type(INTEGER, "orientation", 1)
    image.remove("jpeg-thumbnail-data")  # it shows the photo in gray
    if image.get_typeof(EXIF_COLOR_SPACE):
        image.set_type(TEXT, EXIF_COLOR_SPACE, "1")
    image.set_type(BLOB, "xmp-data", xmp_packet(provenance, read_field(original, "xmp-data", b"")))
    # libvips takes a last bracket for its own remark and drops it.
    image.set_type(TEXT, EXIF_SOFTWARE, provenance.software + " ()")
    return image


def has_provenance(header: pyvips.Image) -> bool:
    """Whether Photochrom colorized the image: its XMP says so or, where another program dropped that, its EXIF."""
    in_xmp = NAMESPACES["photochrom"].encode() in read_field(header, "xmp-data", b"")
    return in_xmp or read_field(header, EXIF_SOFTWARE, "").startswith("Photochrom ")


def xmp_packet(provenance: Provenance, packet: bytes = b"") -> bytes:
    """Returns `packet` with IPTC digital source type, AI system and version (IPTC 2025.1), and the seed.

    An earlier provenance and what is not well-formed XML are replaced, Orientation becomes 1.
    """
    root, rdf = _parse_packet(packet)
    properties = {
        IPTC_EXT + "DigitalSourceType": SOURCE_TYPE,
        IPTC_EXT + "AISystemUsed": f"Photochrom {__version__}, model {provenance.model}",
        IPTC_EXT + "AISystemVersionUsed": provenance.version,
        OWN + "Model": provenance.model,
        OWN + "Version": provenance.version,
        OWN + "Seed": str(provenance.seed),
    }
    about = ""
    # A property may be an attribute or an element.
    for description in rdf.findall(RDF + "Description"):
        about = description.get(RDF + "about", about)
        for name in properties:
            description.attrib.pop(name, None)
            for child in description.findall(name):
                description.remove(child)
        if description.get(TIFF + "Orientation"):
            description.set(TIFF + "Orientation", "1")
        for child in description.findall(TIFF + "Orientation"):
            child.text = "1"
    addition = ElementTree.SubElement(rdf, RDF + "Description", {RDF + "about": about})
    for name, value in properties.items():
        ElementTree.SubElement(addition, name).text = value
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n{text}\n<?xpacket end="w"?>'.encode()


def _parse_packet(packet: bytes) -> tuple[ElementTree.Element, ElementTree.Element]:
    """Returns the root of a packet and its rdf:RDF element; new ones where it is no XML or defines entities."""
    for prefix, uri in NAMESPACES.items():
        ElementTree.register_namespace(prefix, uri)
    body = packet.strip(b"\0 \r\n\t\xef\xbb\xbf")
    if b"<!ENTITY" in body or b"<!DOCTYPE" in body:
        body = b""
    with suppress(ElementTree.ParseError, LookupError, ValueError):  # of encodings that expat does not know, too
        # Else the prefixes of other programs would come back as ns0, ns1, ...
        for _, (prefix, uri) in ElementTree.iterparse(io.BytesIO(body), ["start-ns"]):
            if prefix and not re.fullmatch(r"ns\d+", prefix):
                ElementTree.register_namespace(prefix, uri)
        root = ElementTree.fromstring(body)
        rdf = root if root.tag == RDF + "RDF" else root.find(RDF + "RDF")
        if rdf is not None:
            return root, rdf
    root = ElementTree.Element(X + "xmpmeta")
    return root, ElementTree.SubElement(root, RDF + "RDF")


def _iptc_records(field: bytes) -> bytes:
    """The IPTC-IIM records in libvips' field, which holds them bare or among Photoshop resources."""
    start = field.find(IPTC_RESOURCE)
    if start < 0:
        return field if field.startswith(b"\x1c") else b""
    start += 6 + 2 * (1 + field[start + 6] // 2)  # after the resource's name, padded to an even size
    length = int.from_bytes(field[start : start + 4])
    return field[start + 4 : start + 4 + length]


def write_tiff_tags(file: io.BufferedIOBase, image: pyvips.Image, provenance: Provenance) -> None:
    """Writes EXIF and IPTC of `image` and the provenance into the TIFF `file` that libvips made of it."""
    tags = tiff.read_tags(io.BytesIO(read_field(image, "exif-data", b"").removeprefix(b"Exif\0\0")))
    if tags.exif:
        tags.exif[tiff.COLOR_SPACE] = tiff.SHORT, b"\1\0"  # sRGB
    iptc = _iptc_records(read_field(image, "iptc-data", b""))
    if iptc:
        tags.image[tiff.IPTC] = tiff.UNDEFINED, iptc
    tags.image[tiff.SOFTWARE] = tiff.ASCII, provenance.software.encode() + b"\0"
    tiff.write_tags(file, tags)
