"""Films that are written: the frames of a shot as a part of its own, and parts joined with all else of the original."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph

from ..imaging.errors import PhotoError
from .reading import Encoding, Film, Frame, open_container, run_graph

CODECS = {  # by suffix
    ".avi": "mpeg4",
    ".gif": "ffv1",  # of its parts, from which palettes are made in the end
    ".mpeg": "mpeg2video",
    ".mpg": "mpeg2video",
    ".webm": "libvpx-vp9",
}
CODEC = "libx264"  # of all other suffixes
FORMATS = {
    ".m4v": "mp4",
    ".mkv": "matroska",
    ".mpg": "vob",
    ".mpeg": "vob",
}  # names of containers in FFmpeg, where they differ
THREADS = 4  # of an encoder, whatever the machine has, since their number changes what it writes
OWN = ("major_brand", "minor_version", "compatible_brands", "encoder", "comment")  # not copied
FIXED_RATE = ("mpeg4", "mpeg2video")  # encoders for containers whose frames are all shown as long
RATES = (*map(Fraction, (24, 25, 30, 50, 60)), Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60000, 1001))
RATE_ERROR = 0.01  # frames a second
PART = "nut"  # container of parts, which keeps any time exactly
SAMPLES = 8  # frames of a part whose luma is compared with that of the original
GOP = 250  # frames, at most, from one that can be sought to the next
MATRICES = {601: 5, 709: 1}  # codes of the color matrices (ITU-T H.273)
LIMITED, FULL = 1, 2


@dataclass(frozen=True)
class Quality:
    """How a film is encoded: the suffix of its file, and the constant rate factor (x264: 0 best, 51 worst)."""

    suffix: str
    crf: int = 16

    @property
    def codec(self) -> str:
        """Name of the encoder."""
        return CODECS.get(self.suffix, CODEC)

    def options(self) -> dict[str, str]:
        """Options of the encoder; those with other scales get one that is about as good."""
        if self.codec == "libx264":
            return {"crf": str(self.crf), "preset": "veryfast", "bf": "0", "mbtree": "0"}
        if self.codec == "libvpx-vp9":
            return {"crf": str(self.crf + 4), "deadline": "realtime", "cpu-used": "6", "lag-in-frames": "0"}
        return {} if self.codec == "ffv1" else {"bf": "0"}

    def pixel_format(self, encoding: Encoding, width: int, height: int) -> str:
        """Return the pixel format, with a chroma sample for four pixels or, where these would not fit, for each."""
        odd = width % 2 or height % 2
        planes = "yuv444p" if self.codec == "ffv1" or (odd and self.codec == "libx264") else "yuv420p"
        return f"{planes}10le" if encoding.depth > 8 and self.codec == "libx264" else planes


class PartWriter:
    """Writes the frames of a part of a film to a file of its own, all parts with the same headers."""

    def __init__(self, path: Path, film: Film, quality: Quality) -> None:
        self.container = av.open(str(path), "w", format=PART)
        self.path, self.film = path, film
        self.samples: list[np.ndarray] = []  # luma of the first frames
        encoding = film.encoding
        self.pixel_format = quality.pixel_format(encoding, film.width, film.height)
        self.lost_bits = encoding.depth - 8 if "10" not in self.pixel_format else 0
        if self.lost_bits:
            film.notes.add(f"{quality.suffix} has 8 bits here: the film has {encoding.depth}")
        rate = frame_rate(film, quality)
        self.narrow = encoding.full_range and quality.codec in FIXED_RATE  # whose containers do not name the range
        stream: Any = self.container.add_stream(quality.codec, rate=rate)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = film.width, film.height, self.pixel_format
        context.time_base = stream.time_base = 1 / rate if quality.codec in FIXED_RATE else coarse(film.time_base)
        context.thread_count = THREADS
        context.gop_size = GOP
        context.options = quality.options()
        context.sample_aspect_ratio = film.pixel_ratio
        context.flags |= av.codec.context.Flags.global_header
        context.colorspace = MATRICES[encoding.matrix]
        context.color_range = FULL if encoding.full_range and not self.narrow else LIMITED
        context.color_primaries, context.color_trc = film.primaries, film.transfer
        if quality.codec in FIXED_RATE:
            context.flags |= av.codec.context.Flags.qscale
            context.qmin = context.qmax = max(1, round(quality.crf / 8))
        self.stream = stream

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Width and height of a plane of chroma."""
        share = 1 if "444" in self.pixel_format else 2
        return -(-self.film.width // share), -(-self.film.height // share)

    def write(self, frame: Frame, chroma: np.ndarray) -> None:
        """Encodes a frame with its planes of Cb and Cr."""
        planes: Sequence[np.ndarray] = (frame.luma, *chroma)
        if self.narrow:
            depth = self.film.encoding.depth
            scales = [(219, 16), (224, 128 - 128 * 224 / 255), (224, 128 - 128 * 224 / 255)]
            planes = [
                np.rint(plane * (size / 255) + (low * (1 << (depth - 8)))).astype(plane.dtype)
                for plane, (size, low) in zip(planes, scales, strict=True)
            ]
        luma = planes[0]
        if self.lost_bits:
            half, most = 1 << (self.lost_bits - 1), 255
            planes = [((plane + half) >> self.lost_bits).clip(0, most).astype(np.uint8) for plane in planes]
        if len(self.samples) < SAMPLES:
            self.samples.append(luma / np.float32(1 << self.lost_bits))
        picture = av.VideoFrame(self.film.width, self.film.height, self.pixel_format)
        for plane, codes in zip(picture.planes, planes, strict=True):
            rows = np.zeros((plane.height, plane.line_size // codes.itemsize), codes.dtype)
            rows[:, : codes.shape[1]] = codes
            plane.update(rows.tobytes())
        picture.pts, picture.time_base = frame.pts, self.film.time_base
        picture.colorspace = MATRICES[self.film.encoding.matrix]
        picture.color_range = FULL if self.film.encoding.full_range and not self.narrow else LIMITED
        self.container.mux(self.stream.encode(picture))

    def close(self) -> float:
        """Ends the file. Returns the mean error of luma in the first frames, in codes of 8 bits."""
        self.container.mux(self.stream.encode(None))
        self.container.close()
        with Film(self.path) as part:
            scale = 1 << (part.encoding.depth - 8)
            pairs = zip(part.frames(), self.samples, strict=False)
            errors = [np.abs(frame.luma - luma).mean() for frame, luma in pairs]
        return float(np.mean(errors)) / scale


def coarse(time_base: Fraction) -> Fraction:
    """Return a unit of time that encoders and containers take, as near to a film's as can be."""
    return max(time_base.limit_denominator(90_000), Fraction(1, 90_000))


def frame_rate(film: Film, quality: Quality) -> Fraction:
    """Return the frames a second that an output names. Raises PhotoError where its container does not allow them."""
    nearest = min(RATES, key=lambda standard: abs(standard - film.rate))
    if abs(nearest - film.rate) < RATE_ERROR:
        return nearest
    if quality.codec == "mpeg2video":
        text = f"{film.name}: has {float(film.rate):.3g} frames a second, which .mpg does not allow; write it as .mp4"
        raise PhotoError(text)
    return 1 / (1 / film.rate).limit_denominator(65_535)


def join(
    parts: Sequence[Path],
    film: Film,
    path: Path,
    quality: Quality,
    metadata: Mapping[str, str],
    end: float | None = None,
) -> None:
    """Writes a film of the parts at ``path``, in a container, with all else of the original.

    That is sound, subtitles, chapters and metadata.

    ``end``: seconds after which all else of the original is left out, too.
    """
    suffix = quality.suffix
    with ExitStack() as stack:
        first = stack.enter_context(av.open(str(parts[0]), format=PART)).streams.video[0]
        source = stack.enter_context(open_container(film.path))
        options = {"fflags": "+bitexact"}  # no random numbers
        if suffix in (".mp4", ".m4v", ".mov"):
            options["movflags"] = "+faststart+use_metadata_tags"
        output = stack.enter_context(av.open(str(path), "w", format=container_of(suffix), options=options))
        video: Any = output.add_stream_from_template(first)
        video.time_base = 1 / frame_rate(film, quality) if quality.codec in FIXED_RATE else first.time_base
        video.codec_context.framerate = frame_rate(film, quality)
        video.metadata.update(film.stream.metadata)
        others = {}
        for stream in source.streams:
            if stream.index == film.index:
                continue
            if not fits(stream, suffix):
                film.notes.add(f"{stream.type} ({stream.name or 'of no name'}): does not fit {suffix}, left out")
                continue
            copy = output.add_stream_from_template(stream)
            with suppress(Exception):
                copy.metadata.update(stream.metadata)
                copy.disposition = stream.disposition
            others[stream.index] = copy
        kept = {name: value for name, value in source.metadata.items() if name.lower() not in OWN}
        output.metadata.update({**kept, **metadata})
        with suppress(av.error.FFmpegError, NotImplementedError):
            output.set_chapters(source.chapters())
        output.start_encoding()  # which may choose other units of time
        start = Fraction(source.start_time or 0, av.time_base)
        streams = [_pictures(parts, video, start, film.last_duration), _copies(source, others, start, end)]
        for _, packet in heapq.merge(*streams, key=lambda item: item[0]):
            output.mux(packet)


def join_animation(parts: Sequence[Path], path: Path, last_duration: float) -> None:
    """Writes an animated GIF of the parts, without end, each frame with a palette of its own.

    ``last_duration``: seconds for which the last frame is shown.
    """
    options = {"loop": "0", "final_delay": str(round(100 * last_duration) or -1)}
    with av.open(str(path), "w", format="gif", options=options) as output:
        stream: Any = None
        for part in parts:
            with av.open(str(part), format=PART) as opened:
                source = opened.streams.video[0]
                if stream is None:
                    stream = output.add_stream("gif", rate=100)
                    stream.width, stream.height, stream.pix_fmt = source.width, source.height, "pal8"
                    stream.codec_context.time_base = Fraction(1, 100)
                for frame in _with_palettes(opened.decode(source), source):
                    frame.pts, frame.time_base = round(frame.pts * frame.time_base * 100), Fraction(1, 100)
                    output.mux(stream.encode(frame))
        output.mux(stream.encode(None))


def _with_palettes(frames: Iterator[Any], template: Any) -> Iterator[Any]:
    graph = Graph()
    source, split = graph.add_buffer(template=template), graph.add("split")
    palette, use = graph.add("palettegen", "stats_mode=single"), graph.add("paletteuse", "new=1:dither=sierra2_4a")
    sink = graph.add("buffersink")
    source.link_to(split)
    split.link_to(use, 0, 0)
    split.link_to(palette, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return run_graph(graph, frames)


def fits(stream: Any, suffix: str) -> bool:
    """Return whether a container can have a stream of the original beside the moving picture."""
    if stream.type not in ("audio", "subtitle", "attachment"):
        return False
    try:
        with av.open(BytesIO(), "w", format=container_of(suffix)) as output:
            output.add_stream_from_template(stream)
            output.start_encoding()
    except (av.error.FFmpegError, ValueError, TypeError):
        return False
    return True


def container_of(suffix: str) -> str:
    """Return FFmpeg's name of a container."""
    return FORMATS.get(suffix, suffix[1:])


def _pictures(parts: Sequence[Path], stream: Any, start: Fraction, last_duration: float) -> Iterator[tuple[float, Any]]:
    """Yields the packets of all parts in order; without bidirectional frames, they are decoded as they are shown.

    ``start``: seconds that are subtracted; ``last_duration``: seconds for which the last frame is shown.
    """
    last: int | None = None
    waiting: Any = None
    for part in parts:
        with av.open(str(part), format=PART) as opened:
            for packet in opened.demux(video=0):
                if packet.pts is None:
                    continue
                pts = round((packet.pts * packet.time_base - start) / stream.time_base)
                last = pts if last is None else max(pts, last + 1)  # frames that a fixed rate puts at one time
                packet.pts = packet.dts = last
                packet.time_base, packet.stream = stream.time_base, stream
                if waiting is not None:
                    yield float(waiting.pts * waiting.time_base), waiting
                waiting = packet
    waiting.duration = max(waiting.duration or 0, round(last_duration / stream.time_base))
    yield float(waiting.pts * waiting.time_base), waiting


def _copies(source: Any, streams: Mapping[int, Any], start: Fraction, end: float | None) -> Iterator[tuple[float, Any]]:
    if not streams:
        return
    last = 0.0
    packets = source.demux([source.streams[index] for index in streams])
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:  # what is damaged is reported with the frames
            return
        if packet is None:
            return
        packet.dts = packet.pts if packet.dts is None else packet.dts
        if packet.dts is None:
            continue
        shift = round(start / packet.time_base)
        packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        last = float(packet.dts * packet.time_base)
        if end is not None and last > end:
            return
        packet.stream = streams[packet.stream.index]
        yield last, packet
