"""Flicker, error and colorfulness of films with known colors, and frames per second of each step.

    python benchmarks/video.py [CLIP ...] [--photos PHOTOS.zip|FOLDER] [--limit 8] [--frames 100] [--bundle default]
        [--strips FOLDER]

Each clip is colorized frame by frame and as a film, both beside its own colors. `--photos`: of `--limit` photos there,
clips are made that move over them. `--strips`: folder for a picture of each clip over time: frame by frame, as a film,
ground truth. The time of each step is that of the first clip that is given.
"""

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import cv2
import numpy as np

from photochrom import Colorizer, ColorOptions
from photochrom.core import color
from photochrom.evaluation.flicker import color_distribution_consistency, flicker
from photochrom.imaging.photo import model_size
from photochrom.imaging.sources import find_images
from photochrom.video.chroma import chroma_planes, enlarge
from photochrom.video.coherence import coherent_colors
from photochrom.video.film import shots
from photochrom.video.motion import MotionEstimator
from photochrom.video.reading import Film
from photochrom.video.shots import mark_cuts
from photochrom.video.writing import PartWriter, Quality

PHOTO_FRAMES = 60
CROP = 0.6  # of a photo, that its clip shows at once


@dataclass(frozen=True)
class Clip:
    """Frames of one shot: Lab (3, h, w) of each, at the inference size."""

    name: str
    frames: list[np.ndarray]

    @property
    def grays(self) -> list[np.ndarray]:
        return [np.ascontiguousarray(lab[0] / 100) for lab in self.frames]


def to_lab(rgb: np.ndarray, card: object) -> np.ndarray:
    """Return Lab of a picture (h, w, 3), uint8, at the inference size."""
    height, width = rgb.shape[:2]
    rows, columns = model_size(width, height, card.inference_size(None), card.multiple, card.square)  # type: ignore[attr-defined]
    kind = cv2.INTER_AREA if columns < width else cv2.INTER_CUBIC
    small = cv2.resize(rgb, (columns, rows), interpolation=kind)
    return color.rgb_to_lab((small.transpose(2, 0, 1) / 255).astype(np.float32))


def read_clip(path: Path, frames: int, card: object) -> Clip:
    """Return the longest shot among the first frames of a film."""
    with av.open(str(path)) as film:
        pictures = [frame.to_ndarray(format="rgb24") for frame in islice(film.decode(video=0), 3 * frames)]
    labs = [to_lab(picture, card) for picture in pictures]
    marked = mark_cuts(((lab, np.ascontiguousarray(lab[0] / 100)) for lab in labs), MotionEstimator())
    found: list[list[np.ndarray]] = []
    for lab, _, is_cut in marked:
        if is_cut:
            found.append([])
        found[-1].append(lab)
    return Clip(path.name, max(found, key=len)[:frames])


def photo_clip(name: str, picture: np.ndarray, card: object) -> Clip:
    """Return a clip that moves over a photo (h, w, 3) on a curve, and shows a part of it."""
    height, width = picture.shape[:2]
    rows, columns = int(height * CROP), int(width * CROP)
    frames = []
    for angle in np.linspace(0, np.pi, PHOTO_FRAMES):
        x = (width - columns) * (0.5 - np.cos(angle) / 2)
        y = (height - rows) * (0.5 + np.sin(2 * angle) / 2)
        center = (x + columns / 2 - 0.5, y + rows / 2 - 0.5)
        frames.append(to_lab(cv2.getRectSubPix(picture, (columns, rows), center), card))
    return Clip(name, frames)


def colorize(clip: Clip, colorizer: Colorizer) -> dict[str, list[np.ndarray]]:
    """Return the ab of each frame, in Lab units, by method."""

    def predict(_: object, gray: np.ndarray) -> np.ndarray:
        (ab,) = colorizer.predict([2 * gray[None] - 1])
        return enlarge(ab, *gray.shape[::-1]) * np.float32(color.AB_SCALE)

    grays = clip.grays
    film = coherent_colors(((None, gray) for gray in grays), predict, MotionEstimator())
    return {
        "frame by frame": [predict(None, gray) for gray in grays],
        "film": [ab for _, ab in film],
        "ground truth": [lab[1:] for lab in clip.frames],
    }


def measure(clip: Clip, colors: list[np.ndarray]) -> list[float]:
    """Return flicker, CDC in thousandths, error and colorfulness (mean chroma)."""
    rgb = [color.lab_to_rgb(np.concatenate([lab[:1], ab])) for lab, ab in zip(clip.frames, colors, strict=True)]
    error = np.mean([np.hypot(*(ab - lab[1:])).mean() for lab, ab in zip(clip.frames, colors, strict=True)])
    chroma = np.mean([np.hypot(*ab).mean() for ab in colors])
    return [flicker(clip.grays, colors), 1000 * color_distribution_consistency(rgb), float(error), float(chroma)]


def strip(clip: Clip, results: dict[str, list[np.ndarray]], path: Path) -> None:
    """Write frames over time, below each other by method."""
    chosen = np.linspace(0, len(clip.frames) - 1, 8).astype(int)
    rows = []
    for colors in results.values():
        pictures = [color.lab_to_rgb(np.concatenate([clip.frames[at][:1], colors[at]])) for at in chosen]
        rows.append(np.concatenate(pictures, 2))
    picture = np.concatenate(rows, 1).transpose(1, 2, 0)[..., ::-1]
    cv2.imwrite(str(path), np.rint(picture * 255).astype(np.uint8))


def speed(path: Path, colorizer: Colorizer, frames: int) -> Iterator[tuple[str, float]]:
    """Yield the steps of a film and their milliseconds for a frame."""
    with Film(path) as film, TemporaryDirectory() as folder:
        start = time.perf_counter()
        read = list(islice(film.frames(), frames))
        yield "decode", time.perf_counter() - start
        start = time.perf_counter()
        colored = [
            pair for shot in shots(colorizer, film, iter(read), ColorOptions(), MotionEstimator()) for pair in shot
        ]
        yield "colors (network, motion, average)", time.perf_counter() - start
        writer = PartWriter(Path(folder) / "part.nut", film, Quality(".mp4"))
        start = time.perf_counter()
        planes = [chroma_planes(frame.luma, ab, film.encoding, *writer.chroma_size) for frame, ab in colored]
        yield "planes of chroma", time.perf_counter() - start
        start = time.perf_counter()
        for (frame, _), chroma in zip(colored, planes, strict=True):
            writer.write(frame, chroma)
        writer.close()
        yield "encode (x264, veryfast)", time.perf_counter() - start


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="*", type=Path)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--limit", type=int, default=8)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--bundle", default="default")
    parser.add_argument("--strips", type=Path)
    options = parser.parse_args()
    if not options.clips and not options.photos:
        parser.error("give clips, or photos with --photos")
    colorizer = Colorizer(options.bundle)
    clips = [read_clip(path, options.frames, colorizer.card) for path in options.clips]
    images = list(find_images(options.photos)) if options.photos else []
    for image in images[:: max(1, len(images) // options.limit)][: options.limit]:
        picture = cv2.imdecode(np.frombuffer(image.read(), np.uint8), cv2.IMREAD_COLOR)
        clips.append(photo_clip(Path(image.name).stem, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), colorizer.card))
    print("| clip | frames | | flicker | CDC x 1000 | error | chroma |\n|---|--:|---|--:|--:|--:|--:|")
    for clip in clips:
        results = colorize(clip, colorizer)
        for name, colors in results.items():
            values = " | ".join(f"{value:.2f}" for value in measure(clip, colors))
            print(f"| {clip.name} | {len(clip.frames)} | {name} | {values} |", flush=True)
        if options.strips:
            options.strips.mkdir(parents=True, exist_ok=True)
            strip(clip, results, options.strips / f"{Path(clip.name).stem}.png")
    if options.clips:
        print("\n| step | ms a frame | frames a second |\n|---|--:|--:|")
        for name, seconds in speed(options.clips[0], colorizer, options.frames):
            each = seconds / options.frames
            print(f"| {name} | {1000 * each:.1f} | {1 / each:.0f} |")


if __name__ == "__main__":
    main()
