"""Films that are written: the frames of a shot as a part of its own, and parts joined with all else of the original."""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from .reading import Encoding, Film, Frame

CODECS = {  # by suffix
    ".avi": "mpeg4",
    ".gif": "ffv1",  # of its parts, from which palettes are made in the end
    ".mpeg": "mpeg2video",
    ".mpg": "mpeg2video",
    ".webm": "libvpx-vp9",
}
CODEC = "libx264"  # of all other suffixes
FORMATS = {".m4v": "mp4", ".mpg": "vob", ".mpeg": "vob"}  # names of containers in FFmpeg, where they differ
THREADS = 4  # of an encoder, whatever the machine has, since their number changes what it writes
PART = "nut"  # container of parts, which keeps any time exactly
SAMPLES = 8  # frames of a part whose luma is compared with that of the original
GOP = 250  # frames, at most, from one that can be sought to the next
MATRICES = {601: 5, 709: 1}  # codes of the color matrices (ITU-T H.273)
LIMITED, FULL = 1, 2


@dataclass(frozen=True)
class Quality:
    """How a film is encoded: the suffix of its file, and the constant rate factor (x264: 0 lossless, 51 worst)."""

    suffix: str
    crf: int = 16

    @property
    def codec(self) -> str:
        """Name of the encoder."""
        return CODECS.get(self.suffix, CODEC)

    def options(self) -> dict[str, str]:
        """Options of the encoder; those with other scales get one that is about as good."""
        if self.codec == "libx264":
            return {"crf": str(self.crf), "preset": "veryfast", "bf": "0"}
        if self.codec == "libvpx-vp9":
            return {
                "crf": str(self.crf + 4),
                "deadline": "realtime",
                "cpu-used": "6",
                "row-mt": "0",
                "lag-in-frames": "0",
            }
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
        stream: Any = self.container.add_stream(quality.codec, rate=film.rate.limit_denominator(1 << 16))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = film.width, film.height, self.pixel_format
        context.time_base = stream.time_base = coarse(film.time_base) if quality.codec != CODEC else film.time_base
        context.thread_count = THREADS
        context.gop_size = GOP
        context.options = quality.options()
        context.sample_aspect_ratio = film.pixel_ratio
        context.flags |= av.codec.context.Flags.global_header
        context.colorspace = MATRICES[encoding.matrix]
        context.color_range = FULL if encoding.full_range else LIMITED
        if quality.codec in ("mpeg4", "mpeg2video"):
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
        if len(self.samples) < SAMPLES:
            self.samples.append(frame.luma)
        picture = av.VideoFrame(self.film.width, self.film.height, self.pixel_format)
        for plane, codes in zip(picture.planes, (frame.luma, *chroma), strict=True):
            rows = np.zeros((plane.height, plane.line_size // codes.itemsize), codes.dtype)
            rows[:, : codes.shape[1]] = codes
            plane.update(rows)
        picture.pts, picture.time_base = frame.pts, self.film.time_base
        picture.colorspace = MATRICES[self.film.encoding.matrix]
        picture.color_range = FULL if self.film.encoding.full_range else LIMITED
        self.container.mux(self.stream.encode(picture))

    def close(self) -> float:
        """Ends the file. Returns the mean error of luma in the first frames, in codes of 8 bits."""
        self.container.mux(self.stream.encode(None))
        self.container.close()
        scale = 1 << (self.film.encoding.depth - 8)
        with Film(self.path) as part:
            pairs = zip(part.frames(), self.samples, strict=False)
            return float(
                np.mean([np.abs(frame.luma.astype(np.float32) - luma).mean() / scale for frame, luma in pairs])
            )


def coarse(time_base: Fraction) -> Fraction:
    """Return a unit of time that any encoder takes: some allow 65,535 in a second."""
    return max(time_base.limit_denominator(65535), Fraction(1, 65535))


def join(
    parts: Sequence[Path],
    film: Film,
    path: Path,
    quality: Quality,
    metadata: Mapping[str, str],
    end: float | None = None,
) -> None:
    """Writes a film of the parts at ``path``, with sound, subtitles, chapters and metadata of the original.

    ``end``: seconds after which all else of the original is left out, too.
    """
    suffix = quality.suffix
    with ExitStack() as stack:
        opened = [stack.enter_context(av.open(str(part), format=PART)) for part in parts]
        source = stack.enter_context(av.open(str(film.path), metadata_errors="replace"))
        kwargs = {"movflags": "+faststart+use_metadata_tags"} if suffix in (".mp4", ".m4v", ".mov") else {}
        output = stack.enter_context(
            av.open(str(path), "w", format=FORMATS.get(suffix, suffix[1:].replace("mkv", "matroska")), options=kwargs)
        )
        video: Any = output.add_stream_from_template(opened[0].streams.video[0])
        video.time_base = opened[0].streams.video[0].time_base
        others = {}
        for stream in source.streams:
            if stream.type in ("audio", "subtitle", "attachment") and suffix != ".gif":
                try:
                    copy = output.add_stream_from_template(stream)
                except (av.error.FFmpegError, ValueError, TypeError):
                    film.notes.add(
                        f"{stream.type} ({stream.codec_context.name}) does not fit {suffix} and was left out"
                    )
                    continue
                with suppress(Exception):
                    copy.metadata.update(stream.metadata)
                    copy.disposition = stream.disposition
                others[stream.index] = copy
        output.metadata.update({**source.metadata, **metadata})
        with suppress(av.error.FFmpegError, NotImplementedError):
            output.set_chapters(source.chapters())
        streams = [_pictures(opened, video), _copies(source, others, end)]
        for _, packet in heapq.merge(*streams, key=lambda item: item[0]):
            output.mux(packet)


def _pictures(parts: Sequence[Any], stream: Any) -> Iterator[tuple[float, Any]]:
    """Yields the packets of all parts in order; without bidirectional frames, they are decoded as they are shown."""
    for part in parts:
        for packet in part.demux(video=0):
            if packet.pts is not None:
                packet.dts, packet.stream = packet.pts, stream
                yield float(packet.pts * packet.time_base), packet


def _copies(source: Any, streams: Mapping[int, Any], end: float | None) -> Iterator[tuple[float, Any]]:
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
        if packet.dts is None:
            continue
        last = float(packet.dts * packet.time_base)
        if end is not None and last > end:
            return
        packet.stream = streams[packet.stream.index]
        yield last, packet
