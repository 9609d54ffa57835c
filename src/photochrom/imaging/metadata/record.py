"""The metadata of a photo, whatever file it comes from, and what of it is true of the colorized image."""

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from .. import tiff
from ..notes import DAMAGED, NO_ATTACHMENTS, Notes
from . import exif, photoshop, xmp
from .colors import StatedColors, colors_of_tags
from .density import Density, density_of_tags
from .geometry import Turn
from .photoshop import Resource
from .png_text import MAGICK_COPY, MAX_TEXT, RAW_PROFILE, XMP_KEYWORD, Text, parse_text, raw_profile
from .provenance import Provenance

MAX_BYTES = 1 << 26  # of all metadata of a file
REST_BYTES = 1 << 16  # after the end of a photo, by which padding is recognized
PADDING = b"\0 \t\r\n\v\f"


def read_part(file: io.BufferedIOBase, size: int) -> bytes:
    """Returns the next bytes of a file. Raises ValueError for more than metadata may have."""
    if size > MAX_BYTES:
        raise ValueError("too large")
    return file.read(size)


@dataclass
class Metadata:
    """EXIF tags, an XMP packet, Photoshop resources with IPTC, comments, PNG text chunks, and a density.

    `chunks` are PNG's (kind, body). `density` is that of the container, besides that of EXIF. `colors` are stated by
    numbers, and count where no profile is used; `has_profile` says that a PNG has one, which its decoder may pass over.
    `is_upright` says that decoders turn the pixels by what the container says, whatever EXIF and XMP say. `notes` say
    what was left aside.
    """

    tags: tiff.TagSets = field(default_factory=lambda: tiff.TagSets({}, {}, {}, {}))
    packet: bytes = b""
    resources: list[Resource] = field(default_factory=list)
    comments: list[bytes] = field(default_factory=list)
    chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    density: Density | None = None
    colors: StatedColors | None = None
    has_profile: bool = False
    is_upright: bool = False
    text_bytes_left: int = MAX_TEXT
    notes: Notes = field(default_factory=Notes)

    @property
    def orientation(self) -> int:
        """How decoded pixels are to be turned, 1 to 8: EXIF decides, else XMP."""
        if self.is_upright:
            return 1
        return exif.orientation_of(self.tags) or xmp.orientation_of(self.packet) or 1

    @property
    def has_provenance(self) -> bool:
        """Whether Photochrom colorized the image: XMP says so or, where another program dropped that, EXIF."""
        software = exif.read_text(self.tags.image, tiff.SOFTWARE)
        return xmp.OWN_URI.encode() in self.packet or software.startswith("Photochrom ")

    @property
    def provenance(self) -> Provenance | None:
        """How the image was colorized, where its XMP says so."""
        return xmp.provenance_of(self.packet)

    @contextmanager
    def skip_damage(self) -> Iterator[None]:
        """Passes over a part of the metadata that cannot be read, with a note."""
        try:
            yield
        except (ValueError, struct.error, LookupError, OverflowError):
            self.notes.add(DAMAGED)

    def note_others(self, parts: str, names: set[str]) -> None:
        """Adds a note of parts of a file that are not known, if any."""
        if names:
            self.notes.add(f"{parts} of other programs were left out: {', '.join(sorted(names))}")

    def note_rest(self, rest: bytes) -> None:
        """Adds a note if what follows the end of a photo, up to `REST_BYTES` of it, is more than padding."""
        if rest.strip(PADDING):
            self.notes.add(NO_ATTACHMENTS)

    def add_exif(self, block: bytes) -> None:
        """Adds an EXIF block, unless there is one already; then, a note if it is another one."""
        tags = exif.read_block(block)
        if not any(self.tags[:4]):
            self.add_tags(tags)
        elif tags[:4] != self.tags[:4]:
            self.notes.add("a further block of EXIF was left out")

    def add_tags(self, tags: tiff.TagSets) -> None:
        """Adds the tags of an EXIF block or a TIFF file."""
        self.tags = tags
        if tags.damaged:
            self.notes.add("damaged or too large tags of EXIF or TIFF were left out")
        if tags.repeated:
            self.notes.add("repeated tags of EXIF or TIFF were left out: the first of each was kept")

    def complete(self) -> "Metadata":
        """Adds XMP, Photoshop resources, IPTC and colors of the tags, as in TIFF, unless they were elsewhere."""
        packet, resources, iptc = (
            self.tags.image.get(tag, (0, b""))[1] for tag in (tiff.XMP, tiff.PHOTOSHOP, tiff.IPTC)
        )
        self.packet = self.packet or packet
        self.resources = self.resources or photoshop.parse_resources(resources)
        self.add_iptc(iptc)
        self.colors = self.colors or colors_of_tags(self.tags)
        return self

    def add_packet(self, packet: bytes) -> None:
        """Adds an XMP packet, unless there is one already; then, a note if it is another one."""
        if self.packet and packet not in (b"", self.packet):
            self.notes.add("a further packet of XMP was left out")
        self.packet = self.packet or packet

    def add_iptc(self, records: bytes) -> None:
        """Adds IPTC records, unless there are some already."""
        if records and not any(resource.number == photoshop.IPTC for resource in self.resources):
            self.resources.append(Resource(b"8BIM", photoshop.IPTC, b"\0\0", records))

    def add_text(self, kind: bytes, body: bytes) -> None:
        """Adds a text chunk of PNG, or what ImageMagick or XMP keeps in one."""
        text = self._parse_text(kind, body) if body.startswith((XMP_KEYWORD, RAW_PROFILE)) else None
        name, profile = (text and raw_profile(text)) or ("", b"")
        if text and text.keyword == XMP_KEYWORD:
            self.add_packet(text.text)
        elif name == "xmp" or (name == "app1" and profile.startswith(b"http")):
            self.add_packet(profile.removeprefix(b"http://ns.adobe.com/xap/1.0/\0"))
        elif name in ("exif", "app1"):
            self.add_exif(profile)
        elif name in ("iptc", "8bim"):
            profile = profile.removeprefix(b"Photoshop 3.0\0")
            self.resources += photoshop.parse_resources(profile)
            if profile.startswith(b"\x1c"):
                self.add_iptc(profile)
        elif name not in ("icc", "icm"):
            self.chunks.append((kind, body))

    def corrected(self, turn: Turn, provenance: Provenance, media_type: str) -> "Metadata":
        """Returns what is true of the upright color image, with its provenance; its notes say what was left out."""
        notes = Notes(self.notes)
        tags = exif.corrected(self.tags, turn, provenance, notes)
        density = self.density
        if density and turn.swaps_axes:
            density = Density(density.y, density.x, density.unit)
        return replace(
            self,
            tags=tags,
            packet=xmp.corrected(self.packet, turn, provenance, media_type, notes),
            resources=photoshop.corrected(self.resources, turn, notes),
            chunks=self._chunks_of_copy(),
            density=density or density_of_tags(tags.image),
            notes=notes,
        )

    def _chunks_of_copy(self) -> list[tuple[bytes, bytes]]:
        if not any(self.tags[:4]):
            return list(self.chunks)
        return [(kind, body) for kind, body in self.chunks if not MAGICK_COPY.match(body)]

    def _parse_text(self, kind: bytes, body: bytes) -> Text | None:
        try:
            text = parse_text(kind, body, self.text_bytes_left)
        except ValueError:
            self.text_bytes_left -= MAX_TEXT // 16  # for the work that was in vain
            return None
        self.text_bytes_left -= len(text.text)
        return text

    def texts(self) -> list[Text]:
        """Returns the PNG texts that can be read."""
        texts = [self._parse_text(kind, body) for kind, body in self.chunks if kind != b"tIME"]
        if None in texts:
            self.notes.add("text of PNG was left out: it is damaged or too large")
        if any(kind == b"tIME" for kind, _ in self.chunks):
            self.notes.add("the time of a PNG's last change was left out")
        return [text for text in texts if text]

    def all_tags(self, title: str) -> tiff.TagSets:
        """Returns EXIF tags that also hold resolution, comments, Photoshop resources and IPTC, for a format `title`."""
        image, inner = dict(self.tags.image), dict(self.tags.exif)
        if self.density and tiff.X_RESOLUTION not in image:
            image |= self.density.as_tags()
        comments = [*map(_decode, self.comments), *map(str, self.texts())]
        if comments and exif.has_comment(inner):
            self.notes.add(f"comments were left out: {title} has no place for one beside that of EXIF")
        elif comments:
            inner[exif.USER_COMMENT] = exif.user_comment("\n".join(comments), self.tags.order)
        iptc = [resource.data for resource in self.resources if resource.number == photoshop.IPTC]
        others = [resource for resource in self.resources if resource.number != photoshop.IPTC]
        if iptc:
            image[tiff.IPTC] = tiff.UNDEFINED, iptc[0]
        if others:
            image[tiff.PHOTOSHOP] = tiff.BYTE, photoshop.pack_resources(others)
        return self.tags._replace(image=image, exif=inner)

    def exif_block(self, title: str) -> bytes:
        """Returns an EXIF block for a format that has a place for nothing else but XMP."""
        return exif.pack_block(self.all_tags(title))


def _decode(comment: bytes) -> str:
    try:
        return comment.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return comment.decode("latin-1")
