"""Metadata of outputs: what the original says stays, and the provenance says which model colorized it.

`files` reads and writes, with a module for each container (`jpeg`, `png`, `webp`, `boxes`). `record` holds EXIF, XMP,
Photoshop resources with IPTC, comments, PNG text and the resolution, and corrects them for an upright color image.
"""

from .files import MEDIA_TYPES, pillow_info, read_metadata, read_pillow, write_image
from .geometry import Turn
from .provenance import Provenance
from .record import Metadata
from .xmp import SOURCE_TYPE, provenance_packet

__all__ = [
    "MEDIA_TYPES",
    "SOURCE_TYPE",
    "Metadata",
    "Provenance",
    "Turn",
    "pillow_info",
    "provenance_packet",
    "read_metadata",
    "read_pillow",
    "write_image",
]
