"""XMP of outputs: corrected for the colorized image, marked with its provenance."""

import hashlib
import re
from dataclasses import astuple
from xml.etree.ElementTree import Element, SubElement

from ..._version import __version__
from ..notes import NO_ATTACHMENTS, Notes
from .geometry import Turn
from .packet import RDF, Packet, empty_packet, parse_packet
from .provenance import Provenance
from .regions import turn_regions

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
OWN_URI = "urn:photochrom:1.0:"
OWN, IPTC_EXT = f"{{{OWN_URI}}}", "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
TIFF, EXIF = "{http://ns.adobe.com/tiff/1.0/}", "{http://ns.adobe.com/exif/1.0/}"
EXIF_EX, PHOTOSHOP = "{http://cipa.jp/exif/1.0/}", "{http://ns.adobe.com/photoshop/1.0/}"
XMP, DC = "{http://ns.adobe.com/xap/1.0/}", "{http://purl.org/dc/elements/1.1/}"
MEDIA = "{http://ns.adobe.com/xap/1.0/mm/}"
RESOLUTIONS = (
    (TIFF + "XResolution", TIFF + "YResolution"),
    (EXIF + "FocalPlaneXResolution", EXIF + "FocalPlaneYResolution"),
)
EXTENDED = "{http://ns.adobe.com/xmp/note/}HasExtendedXMP"  # of a packet in several segments of a JPEG file
# What described the original's pixels and their storage; thumbnails; digests of what changes; the file's identifier.
UNTRUE = (
    *(TIFF + name for name in ("BitsPerSample", "SamplesPerPixel", "PhotometricInterpretation", "Compression")),
    *(TIFF + name for name in ("PlanarConfiguration", "YCbCrSubSampling", "TransferFunction", "WhitePoint")),
    *(TIFF + name for name in ("PrimaryChromaticities", "NativeDigest")),
    *(EXIF + "NativeDigest", EXIF_EX + "Gamma", PHOTOSHOP + "ColorMode", PHOTOSHOP + "ICCProfile"),
    *(EXIF + "CompressedBitsPerPixel", XMP + "Thumbnails", XMP + "PageInfo", EXTENDED),
    *(PHOTOSHOP + "LegacyIPTCDigest", PHOTOSHOP + "EmbeddedXMPDigest", MEDIA + "InstanceID"),
)
# What a copy does not have, by the names of properties: the data of motion photos, depth maps and gain maps; what a raw
# converter did or would do with the original, such as make it gray.
DROPPED = {
    r"\{http://ns\.google\.com/photos/(dd/)?1\.0/(?!panorama)|\{http://ns\.adobe\.com/hdr-gain-map/|"
    r"\{http://ns\.apple\.com/(HDRGainMap|pixeldatainfo)/": NO_ATTACHMENTS,
    r"\{http://ns\.adobe\.com/camera-raw-(saved-)?settings/": "develop settings of a raw converter were left out",
}
TURNED = {
    r"\{http://ns\.google\.com/photos/1\.0/panorama/": "data of a panorama were left out, since the photo was turned"
}
MAX_MAIN = 65_400  # bytes of the first packet of several
OWN_MARKS = tuple(OWN + name for name in ("Model", "Version", "Seed", "Options", "Original"))
MARKS = (*(IPTC_EXT + name for name in ("DigitalSourceType", "AISystemUsed", "AISystemVersionUsed")), *OWN_MARKS)


def orientation_of(packet: bytes) -> int | None:
    """Returns tiff:Orientation, 1 to 8; None where it is missing or no such number."""
    try:
        value = parse_packet(packet).get(TIFF + "Orientation") if b"Orientation" in packet.replace(b"\0", b"") else None
    except ValueError:
        return None
    return int(value) if value in list("12345678") else None


def merge_extended(packet: bytes, extended: bytes) -> bytes:
    """Returns a packet with the properties of its extension (Adobe, "XMP Specification Part 3", 1.1.3.1)."""
    main, more = parse_packet(packet), parse_packet(extended)
    main.remove({EXTENDED})
    main.rdf.extend(more.descriptions)
    return Packet(main.root, main.rdf, more.prefixes | main.prefixes).serialize()


def extended_digest(packet: bytes) -> str | None:
    """Returns the name of a packet's extension, None where it has none."""
    try:
        return parse_packet(packet).get(EXTENDED)
    except ValueError:
        return None


def corrected(packet: bytes, turn: Turn, provenance: Provenance, media_type: str, notes: Notes) -> bytes:
    """Returns a packet for an upright color image with its provenance; adds to `notes` what it leaves out.

    A packet that cannot be read gives way to one with the provenance alone.
    """
    tree = empty_packet()
    if packet.strip(b"\0 \r\n\t"):
        try:
            tree = parse_packet(packet)
        except ValueError:
            notes.add("XMP was left out: it is damaged or too large")
    tree.remove(UNTRUE)
    for pattern, note in (DROPPED if turn.orientation == 1 else DROPPED | TURNED).items():
        names = [name for name in tree.names() if re.match(pattern, name)]
        if names:
            notes.add(note)
            tree.remove(names)
    width, height = turn.upright
    for name, value in (
        *((TIFF + "Orientation", "1"), (EXIF + "ColorSpace", "1"), (TIFF + "Software", provenance.software)),
        *((TIFF + "ImageWidth", str(width)), (TIFF + "ImageLength", str(height)), (DC + "format", media_type)),
        *((EXIF + "PixelXDimension", str(width)), (EXIF + "PixelYDimension", str(height))),
    ):
        tree.replace(name, value)
    if tree.get(EXIF_EX + "InteroperabilityIndex") == "R03":  # Adobe RGB
        tree.replace(EXIF_EX + "InteroperabilityIndex", "R98")
    for across, down in RESOLUTIONS if turn.swaps_axes else ():
        x, y = tree.get(across), tree.get(down)
        if x and y:
            tree.replace(across, y)
            tree.replace(down, x)
    turn_regions(tree.root, turn)
    return _marked(tree, provenance)


def provenance_packet(provenance: Provenance) -> bytes:
    """Returns a packet with the provenance alone."""
    return _marked(empty_packet(), provenance)


def provenance_of(packet: bytes) -> Provenance | None:
    """Returns how a packet says that the image was colorized; None where it does not."""
    try:
        tree = parse_packet(packet)
        model, version, seed, options, original = (tree.get(name) or "" for name in OWN_MARKS)
        return Provenance(model, version, int(seed), options, original)
    except ValueError:
        return None


def _marked(tree: Packet, provenance: Provenance) -> bytes:
    """Adds IPTC digital source type, AI system and version (IPTC 2025.1), the seed and the options."""
    system = f"Photochrom {__version__}, model {provenance.model}"
    own = map(str, astuple(provenance))
    marks = dict(zip(MARKS, (SOURCE_TYPE, system, provenance.version, *own), strict=True))
    tree.remove(MARKS)
    tree.add({name: value for name, value in marks.items() if value})
    return wrapped(tree)


def wrapped(tree: Packet) -> bytes:
    """Returns a packet with the processing instructions by which it is found in a file."""
    begin = '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    return begin.encode() + tree.serialize() + b'\n<?xpacket end="w"?>'


def split_packet(packet: bytes, notes: Notes) -> tuple[bytes, bytes, str]:
    """Returns a packet that fits into a segment of a JPEG file, the rest as its extension, and the latter's digest.

    The largest properties are moved; where that is not enough, the provenance alone stays, and `notes` says so.
    """
    if len(packet) <= MAX_MAIN:
        return packet, b"", ""
    tree, rest = parse_packet(packet, is_own=True), empty_packet()
    movable = []
    for description in tree.descriptions:
        # An attribute says the same as an element, which can be moved.
        for name, value in list(description.items()):
            if not name.startswith((RDF, "{http://www.w3.org/XML")):
                del description.attrib[name]
                SubElement(description, name).text = value
        movable += [(description, child) for child in description if child.tag not in MARKS]
    sizes = tree.measure(child for _, child in movable)
    excess = len(tree.serialize()) + 300 - MAX_MAIN  # with the wrapper and the name of the extension
    moved: dict[Element, list[Element]] = {}
    for place in sorted(range(len(movable)), key=lambda place: -sizes[place]):
        if excess > 0:
            description, child = movable[place]
            moved.setdefault(description, []).append(child)
            excess -= sizes[place]
    for description, children in moved.items():
        SubElement(rest.rdf, RDF + "Description", {RDF + "about": description.get(RDF + "about", "")}).extend(children)
        gone = set(children)
        description[:] = [child for child in description if child not in gone]
    extension = Packet(rest.root, rest.rdf, tree.prefixes).serialize()
    digest = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper()
    tree.add({EXTENDED: digest})
    main = wrapped(tree)
    if len(main) <= MAX_MAIN:
        return main, extension, digest
    notes.add("XMP was left out: it does not fit into a JPEG")
    bare = empty_packet()
    bare.add({name: tree.get(name) or "" for name in MARKS if name in tree.names()})
    return wrapped(bare), b"", ""
