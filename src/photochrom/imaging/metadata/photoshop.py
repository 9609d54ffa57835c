"""Image resources of Photoshop, which hold IPTC in JPEG and TIFF files ("Adobe Photoshop File Formats", 2019)."""

from collections.abc import Iterable
from typing import NamedTuple

from ..notes import Notes
from .geometry import Turn

IPTC = 1028
# Of gray or dropped data: color transfer and halftones, layers, thumbnails, profile, EXIF, XMP, channel colors.
UNTRUE = {1007, *range(1012, 1019), 1024, 1026, 1033, 1036, 1039, 1041, 1058, 1059, 1060, 1077}
GEOMETRY = {1025, 1032, 1050, *range(2000, 2999)}  # paths, guides and slices in the stored image
IPTC_DIGEST = 1061
# Of IPTC (IPTC-NAA "Information Interchange Model" 4.2), record and number of what described the old file: its format,
# image type (such as monochrome), orientation and preview, its pixels (record 3 but for the number of the picture), and
# its bytes.
UNTRUE_RECORDS = {(1, 20), (1, 22), *((2, number) for number in (130, 131, 200, 201, 202))}
UNTRUE_RECORDS |= {(3, number) for number in range(256) if number not in (0, 10)}
UNTRUE_RECORDS |= {(record, number) for record in (7, 8, 9) for number in range(256)}
RESOLUTION = 1005  # with its unit: 8 bytes across, 8 down


class Resource(NamedTuple):
    """A resource: its signature and number, its name (a Pascal string padded to an even size), and its data."""

    signature: bytes
    number: int
    name: bytes
    data: bytes


def parse_resources(block: bytes) -> list[Resource]:
    """Returns the resources of a block; what follows damage is left out."""
    resources, at = [], 0
    while at + 12 <= len(block):
        signature, number = block[at : at + 4], int.from_bytes(block[at + 4 : at + 6])
        name_end = at + 6 + 2 * (1 + block[at + 6] // 2)
        size = int.from_bytes(block[name_end : name_end + 4])
        data = block[name_end + 4 : name_end + 4 + size]
        if signature not in (b"8BIM", b"PHUT", b"AgHg", b"DCSR", b"MeSa") or len(data) < size:
            break
        resources.append(Resource(signature, number, block[at + 6 : name_end], data))
        at = name_end + 4 + size + size % 2
    return resources


def corrected(resources: list[Resource], turn: Turn, notes: Notes) -> list[Resource]:
    """Returns the resources for an upright color image; adds to `notes` what it leaves out."""
    kept = []
    for resource in resources:
        if resource.number in UNTRUE:
            continue
        if resource.number in GEOMETRY and turn.orientation != 1:
            notes.add("Photoshop's paths, guides and slices were left out, since the photo was turned")
            continue
        if resource.number == RESOLUTION and turn.swaps_axes:
            resource = resource._replace(data=resource.data[8:16] + resource.data[:8])
        if resource.number == IPTC:
            resource = resource._replace(data=_corrected_iptc(resource.data))
        kept.append(resource)
    if _iptc_of(kept) != _iptc_of(resources):
        kept = [resource for resource in kept if resource.number != IPTC_DIGEST]
    return kept


def _iptc_of(resources: list[Resource]) -> list[bytes]:
    return [resource.data for resource in resources if resource.number == IPTC]


def _corrected_iptc(records: bytes) -> bytes:
    """Returns the records without what would be untrue; damaged ones stay as they are."""
    kept, at, end = bytearray(), 0, len(records.rstrip(b"\0"))  # TIFF pads them
    while at < end:
        start, size = at, int.from_bytes(records[at + 3 : at + 5])
        at += 5
        if size & 0x8000:  # an extended length, of so many bytes
            at += size & 0x7FFF
            size = int.from_bytes(records[start + 5 : at])
        at += size
        if records[start] != 0x1C or at > len(records):
            return records
        if tuple(records[start + 1 : start + 3]) not in UNTRUE_RECORDS:
            kept += records[start:at]
    return bytes(kept + records[at:])


def pack_resources(resources: Iterable[Resource]) -> bytes:
    """Returns the block of resources that `parse_resources` reads."""
    block = b""
    for signature, number, name, data in resources:
        block += signature + number.to_bytes(2) + name + len(data).to_bytes(4) + data + b"\0" * (len(data) % 2)
    return block
