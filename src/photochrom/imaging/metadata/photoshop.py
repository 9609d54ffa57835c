"""Image resources of Photoshop, which hold IPTC in JPEG and TIFF files ("Adobe Photoshop File Formats", 2019)."""

from collections.abc import Iterable
from typing import NamedTuple

from .geometry import Turn

IPTC = 1028
# Of gray or dropped data: color transfer and halftones, layers, thumbnails, profile, EXIF, XMP, channel colors.
UNTRUE = {1007, *range(1012, 1019), 1024, 1026, 1033, 1036, 1039, 1041, 1058, 1059, 1060, 1077}
GEOMETRY = {1025, 1032, 1050, *range(2000, 2999)}  # paths, guides and slices in the stored image


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


def corrected(resources: list[Resource], turn: Turn, notes: list[str]) -> list[Resource]:
    """Returns the resources for an upright color image; adds to `notes` what it leaves out."""
    kept = []
    for resource in resources:
        if resource.number in UNTRUE:
            continue
        if resource.number in GEOMETRY and turn.orientation != 1:
            notes.append("Photoshop's paths, guides and slices were left out, since the photo was turned")
            continue
        if resource.number == RESOLUTION and turn.swaps_axes:
            resource = resource._replace(data=resource.data[8:16] + resource.data[:8])
        kept.append(resource)
    return kept


def pack_resources(resources: Iterable[Resource]) -> bytes:
    """Returns the block of resources that `parse_resources` reads."""
    block = b""
    for signature, number, name, data in resources:
        block += signature + number.to_bytes(2) + name + len(data).to_bytes(4) + data + b"\0" * (len(data) % 2)
    return block
