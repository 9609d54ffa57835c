"""Makes film.jpg: a film that moves over an old photo, as it is, colorized frame by frame, and as a film.

Run it in the repository, with the extra `video`: python docs/pictures/film.py
"""

from pathlib import Path

import cv2
import numpy as np

from photochrom import Colorizer
from photochrom.core.color import AB_SCALE, fit_gamut, lab_to_rgb
from photochrom.imaging.photo import open_photo
from photochrom.video.chroma import enlarge
from photochrom.video.coherence import coherent_colors
from photochrom.video.motion import MotionEstimator

PICTURES = Path(__file__).parent
FRAMES, SHOWN = 60, 7
HEIGHT, WIDTH = 192, 256


def main() -> None:
    """Write the picture."""
    colorizer, motion = Colorizer(), MotionEstimator()
    photo = open_photo(PICTURES / "expedition-1897.jpg").gray(384)[0] / 2 + 0.5
    height, width = photo.shape
    x = np.linspace(WIDTH / 2, width - WIDTH / 2, FRAMES)
    y = height / 2 + (height - HEIGHT) / 2 * np.sin(np.linspace(0, 2 * np.pi, FRAMES))
    frames = [cv2.getRectSubPix(photo, (WIDTH, HEIGHT), center) for center in zip(x, y, strict=True)]

    def predict(_: object, gray: np.ndarray) -> np.ndarray:
        (ab,) = colorizer.predict([2 * gray[None] - 1])
        return enlarge(ab, WIDTH, HEIGHT)

    rows = [
        [np.zeros((2, HEIGHT, WIDTH), np.float32)] * FRAMES,
        [predict(None, gray) for gray in frames],
        [ab for _, ab in coherent_colors(((None, gray) for gray in frames), predict, motion)],
    ]
    shown = np.linspace(0, FRAMES - 1, SHOWN).astype(int)
    lines = [np.concatenate([_rgb(frames[at], row[at]) for at in shown], 2) for row in rows]
    picture = np.concatenate(lines, 1).transpose(1, 2, 0)[..., ::-1]
    cv2.imwrite(str(PICTURES / "film.jpg"), np.rint(picture * 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, 88])


def _rgb(gray: np.ndarray, ab: np.ndarray) -> np.ndarray:
    return lab_to_rgb(fit_gamut(np.concatenate([100 * gray[None], AB_SCALE * ab]).astype(np.float32)))


if __name__ == "__main__":
    main()
