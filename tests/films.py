"""Small films for tests."""

from fractions import Fraction

import av
import numpy as np

RATE = 25


def scene(number, count=12, width=96, height=64, speed=2):
    """Frames of a texture that moves to the left; each number is another texture."""
    texture = np.random.default_rng(number).normal(size=(height // 8 + 2, (width + count * speed) // 8 + 2))
    texture = texture.repeat(8, 0).repeat(8, 1)
    for _ in range(3):
        texture = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1) + np.roll(texture, 2, 1)) / 4
    texture = 40 + 150 * (texture - texture.min()) / np.ptp(texture)
    return [texture[:height, speed * index : speed * index + width].astype(np.uint8) for index in range(count)]


def write(  # noqa: PLR0913 - what a film has
    path,
    lumas,
    codec="libx264",
    pixels="yuv420p",
    times=None,
    time_base=None,
    options=None,
    sound=None,
    chroma=128,
    **other,
):
    """Write a film of planes of luma; `other`: attributes of the stream's codec, or metadata and rotation."""
    metadata, rotation = other.pop("metadata", {}), other.pop("rotation", 0)
    with av.open(str(path), "w") as film:
        stream = film.add_stream(codec, rate=RATE, options=options or {})
        stream.height, stream.width = lumas[0].shape
        stream.pix_fmt = pixels
        if time_base:
            stream.codec_context.time_base = time_base
        for name, value in other.items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        film.metadata.update(metadata)
        if sound is not None:
            codecs = {".mp4": "aac", ".mpg": "mp2", ".webm": "libopus"}
            audio = film.add_stream(codecs.get(path.suffix, "pcm_s16le"), rate=48000)
            audio.layout = "mono"
        for index, luma in enumerate(lumas):
            film.mux(stream.encode(picture(luma, pixels, index if times is None else times[index], time_base, chroma)))
        film.mux(stream.encode(None))
        if sound is not None:
            frame = av.AudioFrame.from_ndarray(sound[None], format="s16", layout="mono")
            frame.rate = 48000
            for part in resampled(audio, frame):
                film.mux(audio.encode(part))
            film.mux(audio.encode(None))
    return path


def resampled(audio, frame):
    resampler = av.AudioResampler(audio.format, "mono", 48000, frame_size=audio.codec_context.frame_size or 1024)
    return [*resampler.resample(frame), *resampler.resample(None)]


def picture(luma, pixels="yuv420p", pts=0, time_base=None, chroma=128):
    frame = av.VideoFrame(luma.shape[1], luma.shape[0], pixels)
    for index, plane in enumerate(frame.planes):
        wide = np.uint16 if "10" in pixels else np.uint8
        rows = np.full((plane.height, plane.line_size // wide().itemsize), chroma * (4 if "10" in pixels else 1), wide)
        if not index:
            rows[:, : luma.shape[1]] = luma.astype(wide) * (4 if "10" in pixels else 1)
        plane.update(rows.tobytes())
    frame.pts, frame.time_base = pts, time_base or Fraction(1, RATE)
    return frame


def read(path):
    """The frames of a film as it is shown, in the order in which they are decoded."""
    with av.open(str(path)) as film:
        return list(film.decode(video=0))


def luma(frame):
    plane = frame.planes[0]
    kind = np.uint16 if "10" in frame.format.name else np.uint8
    rows = np.frombuffer(plane, kind).reshape(-1, plane.line_size // kind().itemsize)
    return rows[: frame.height, : frame.width].astype(float)
