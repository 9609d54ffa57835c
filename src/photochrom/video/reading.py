"""Films that are read: frames in the order in which they are shown, each with its luma as it is stored."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph
from jaxtyping import UInt

from ..imaging.errors import DAMAGED, PhotoError, WriteError, printable
from ..imaging.limits import MAX_PIXELS
from ..imaging.notes import Notes
from ..imaging.tones import has_colors

READERS = ("asf", "avi", "flv", "gif", "matroska", "mov", "mpeg", "mpegts", "mpegvideo", "nut", "ogg")  # FFmpeg's
BT_709, BT_601 = 1, (5, 6)  # codes of color matrices (ITU-T H.273)
HD_HEIGHT = 720  # from which on films that name no matrix have that of BT.709
FULL = 2  # code of the range of all codes
FULL_RANGE = ("gray", "yuvj", "pal", "rgb", "bgr", "gbr")  # how the names of such pixel formats begin
TURNS = {90: ["cclock"], 180: ["clock", "clock"], 270: ["clock"]}  # by the rotation that a player has to undo
BROKEN = "parts of the film are damaged and were left out"
BEGINNING = 16  # frames whose times are looked at
COLOR_CHECKS = 250  # frames from one that is checked for colors of its own to the next
BEFORE = 5.0  # seconds before a frame that is sought, since a place in a container may lie too late
SHORT = 1.0  # seconds by which a film may end before its container says

Luma = UInt[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame: its luma codes, upright, the time at which it is shown, in units of the film's, and its number."""

    luma: Luma
    pts: int
    number: int


@dataclass(frozen=True)
class Encoding:
    """What luma codes mean: bits of a code, whether all of them are used, and the matrix of the colors (601 or 709)."""

    depth: int
    full_range: bool
    matrix: int

    @property
    def black_and_white(self) -> tuple[int, int]:
        """The codes of black and of white (ITU-R BT.601, BT.709)."""
        if self.full_range:
            return 0, (1 << self.depth) - 1
        return 16 << (self.depth - 8), 235 << (self.depth - 8)


@contextmanager
def film_errors(name: str, action: str) -> Iterator[None]:
    """Turns errors of FFmpeg and the system into a `PhotoError`: `name` cannot be `action` ("read", "written")."""
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        reason = DAMAGED if isinstance(error, av.error.InvalidDataError) else error.strerror or str(error)
        kind = WriteError if action == "written" else PhotoError
        raise kind(f"{name}: cannot be {action} ({reason[0].lower()}{reason[1:]})") from None


def open_container(path: Path) -> Any:
    """Returns a film that is open, by the readers of `READERS` alone: others would follow it to further files."""
    options = {"format_whitelist": ",".join(READERS), "protocol_whitelist": "file"}
    return av.open(str(path), options=options, metadata_errors="replace")


@dataclass(eq=False)
class Film:
    """A film that is open. Use it as a context manager; `frames` may be called again.

    Raises PhotoError for a file that is none, and for one whose frames have more than ``max_pixels`` pixels.
    """

    path: Path
    max_pixels: int = MAX_PIXELS
    notes: Notes = field(default_factory=Notes)
    last_duration: float = field(default=0, init=False)  # seconds for which the last frame that was read is shown

    def __post_init__(self) -> None:
        self.name = printable(self.path)
        if not self.path.is_file():
            raise PhotoError(f"{self.name}: cannot be read (there is no such file)")
        with film_errors(self.name, "read"):
            self.container = open_container(self.path)
        videos = [stream for stream in self.container.streams.video if not _is_picture(stream)]
        if not videos:
            self.container.close()
            raise PhotoError(f"{self.name}: has no moving picture that can be read")
        self.stream: Any = videos[0]
        self.index = self.stream.index
        self.time_base = Fraction(self.stream.time_base or 1)
        try:
            with film_errors(self.name, "read"):
                self._read_first()
        except PhotoError:
            self.container.close()
            raise

    def __enter__(self) -> "Film":
        return self

    def __exit__(self, *_: object) -> None:
        self.container.close()

    def _read_first(self) -> None:
        """Finds out from the first frame what all are like."""
        context = self.stream.codec_context
        if context.width * context.height > self.max_pixels:
            raise PhotoError(f"{self.name}: has frames of {context.width} x {context.height} pixels, over the limit")
        context.thread_type = "AUTO"
        beginning = list(islice(self._decoded(), BEGINNING))
        if not beginning:
            raise PhotoError(f"{self.name}: has no frame that can be read")
        first = beginning[0]
        # Containers and encoders that disagree on the order of frames leave them right, and only their times wrong.
        times = [frame.pts for frame in beginning]
        self.in_order = None not in times and times == sorted(set(times))
        self.delay = (first.dts or 0) - (first.pts or 0)
        self.rotation = round(first.rotation) % 360
        self.interlaced = bool(first.interlaced_frame)
        if self.interlaced:
            self.notes.add("the film is interlaced: its frames were made progressive")
        depth = first.format.components[0].bits
        self.plain = _has_plain_luma(first)
        self.encoding = Encoding(
            depth=depth if self.plain else 10 if depth > 8 else 8,
            full_range=self.plain and (first.color_range == FULL or first.format.name.startswith(FULL_RANGE)),
            matrix=_matrix(first),
        )
        turned = self.rotation in (90, 270)
        self.width, self.height = (first.height, first.width) if turned else (first.width, first.height)
        ratio = self.stream.sample_aspect_ratio or Fraction(1)
        self.pixel_ratio = 1 / ratio if turned and ratio else ratio
        self.size = first.width, first.height, first.format.name
        self.primaries, self.transfer = first.color_primaries, first.color_trc

    def _open_at(self, pts: int | None = None) -> None:
        """Opens the film anew, to be decoded from its start or from a place before a frame."""
        self.container.close()
        self.container = open_container(self.path)
        self.stream = self.container.streams[self.index]
        self.stream.codec_context.thread_type = "AUTO"
        if pts is not None:
            with suppress(av.error.FFmpegError):  # some cannot be sought
                self.container.seek(pts - int(BEFORE / self.time_base), stream=self.stream)

    def _from(self, pts: int | None) -> Iterator[Any]:
        """Yields decoded frames from one at the latest that is shown at ``pts``; from the first by default."""
        self._open_at(pts)
        frames = self._timed()
        if pts is None:
            return frames
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= pts:
            return chain([first], frames)
        self._open_at()  # containers without an index are sought too late
        return self._timed()

    @cached_property
    def own_duration(self) -> float | None:
        """Seconds of the moving picture, as the container says."""
        if self.stream.duration:
            return float(self.stream.duration * self.time_base)
        parts = self.stream.metadata.get("DURATION", "").split(":")  # of Matroska
        with suppress(ValueError):
            return sum(60**power * float(part) for power, part in enumerate(reversed(parts)))
        return None

    @property
    def duration(self) -> float | None:
        """Seconds of the film, as the container says: of all that is in it, if it says no more."""
        whole = self.container.duration / av.time_base if self.container.duration else None
        return self.own_duration or whole

    @property
    def rate(self) -> Fraction:
        """Frames a second, on average."""
        return self.stream.average_rate or self.stream.guessed_rate or Fraction(25)

    def seconds(self, pts: int) -> float:
        """Returns the time of a frame from the start of the film."""
        return float((pts - (self.stream.start_time or 0)) * self.time_base)

    def frames(self, start: int | None = None, number: int = 0) -> Iterator[Frame]:
        """Yields the frames from the one shown at ``start`` on, whose number is ``number``; from the first by default.

        A part that is damaged is left out, with a note.
        """
        before: int | None = None
        for decoded in self._filtered(self._from(start)):
            # Filters may count time in another unit.
            pts = None if decoded.pts is None else round(decoded.pts * decoded.time_base / self.time_base)
            if before is not None and not self.in_order and pts is not None:
                pts = max(pts, before + 1)
            if pts is None or (before is not None and pts <= before):
                self.notes.add("frames without a time of their own, or with one that lies back, were left out")
                continue
            before = pts
            self.last_duration = float((decoded.duration or 0) * decoded.time_base)
            if start is not None and pts < start:
                continue
            if number % COLOR_CHECKS == 0 and len(decoded.planes) > 1:
                self._check_colors(decoded)
            yield Frame(self._luma(decoded), pts, number)
            number += 1
        if before is None:
            return
        end, missing = self.seconds(before) + self.last_duration, self.stream.frames - number
        if self.own_duration and end + SHORT + 2 / self.rate < self.own_duration:
            self.notes.add(f"the film ends after {end:.1f} of {self.own_duration:.1f} s: it is {DAMAGED}")
        elif missing > SHORT * self.rate:
            self.notes.add(f"the film has {number} of {self.stream.frames} frames: it is {DAMAGED}")

    def _decoded(self) -> Iterator[Any]:
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:  # the generator has ended
                packet = None
                self.notes.add(BROKEN)
            if packet is None:
                return
            try:
                decoded = packet.decode()
            except av.error.FFmpegError:
                decoded = []
                self.notes.add(BROKEN)
            yield from (frame for frame in decoded if not frame.is_corrupt)

    def _timed(self) -> Iterator[Any]:
        for frame in self._decoded():
            if (frame.width, frame.height, frame.format.name) != self.size:
                width, height, pixels = self.size
                frame = frame.reformat(width=width, height=height, format=pixels)
                self.notes.add(f"the film changes its size: all frames have {width} x {height} pixels")
            if not self.in_order and frame.dts is not None:
                frame.pts = frame.dts - self.delay
            yield frame

    def _filtered(self, frames: Iterator[Any]) -> Iterator[Any]:
        """Turns frames upright, progressive, and to a pixel format with a plane of luma."""
        steps = [("bwdif", "mode=send_frame:deint=interlaced")] if self.interlaced else []
        steps += [("transpose", turn) for turn in TURNS.get(self.rotation, ())]
        if not self.plain:
            # RGB becomes luma by the matrix that the output names.
            steps.append(("scale", f"out_color_matrix=bt{self.encoding.matrix}:out_range=tv"))
            steps.append(("format", "yuv420p10le" if self.encoding.depth > 8 else "yuv420p"))
        if not steps:
            yield from frames
            return
        graph = Graph()
        nodes = [graph.add_buffer(template=self.stream), *(graph.add(*step) for step in steps), graph.add("buffersink")]
        graph.link_nodes(*nodes).configure()
        yield from run_graph(graph, frames)

    def _luma(self, frame: Any) -> Luma:
        plane = frame.planes[0]
        kind = np.dtype(np.uint8 if self.encoding.depth == 8 else "<u2")
        rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind.itemsize)
        return rows[: frame.height, : frame.width].copy()

    def _check_colors(self, frame: Any) -> None:
        small = frame.reformat(width=128, height=96, format="rgb24").to_ndarray()
        if has_colors((small.transpose(2, 0, 1) / 255).astype(np.float32)):
            self.notes.add("the film was in color: its colors were replaced")


def _matrix(frame: Any) -> int:
    """Returns the color matrix of a frame; where it has none, that of its size."""
    is_new = frame.colorspace == BT_709 or (frame.colorspace not in BT_601 and frame.height >= HD_HEIGHT)
    return 709 if is_new else 601


def run_graph(graph: Graph, frames: Iterator[Any]) -> Iterator[Any]:
    """Yields what a graph of filters makes of frames."""
    for frame in chain(frames, [None]):  # None: there are no more
        graph.push(frame)
        while True:
            try:
                yield graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                break


def _is_picture(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _has_plain_luma(frame: Any) -> bool:
    """Whether the first plane of a frame is its luma, in codes of 8 or 10 bits."""
    name, bits = frame.format.name, frame.format.components[0].bits
    return (name in ("gray", "nv12") or (name.startswith(("yuv4", "yuvj4")) and frame.format.is_planar)) and (
        bits == 8 or (bits == 10 and name.endswith("le"))
    )
