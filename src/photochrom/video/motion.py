"""Motion between frames: where the pixels of one are in another, and how far that can be trusted."""

from functools import cache

import cv2
import numpy as np
from jaxtyping import Float32

Gray = Float32[np.ndarray, "h w"]  # in [0, 1]
Flow = Float32[np.ndarray, "h w 2"]  # pixels to the right and down
Planes = Float32[np.ndarray, "c h w"]

TRUST = 0.05  # difference of gray at which the trust in a motion has fallen to 1 / e
GRAIN = 2.0  # standard deviation, in pixels, of the blur that takes the grain out of that difference


class MotionEstimator:
    """Dense optical flow by inverse search (Kroeger et al. 2016), which was the fastest of those that were measured."""

    def __init__(self) -> None:
        self.search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def flow(self, gray: Gray, other: Gray) -> Flow:
        """Returns where the pixels of `gray` are in `other`, from where they are."""
        return self.search.calc(_codes(gray), _codes(other), None)  # type: ignore[call-overload]


def warp(planes: Planes, flow: Flow) -> Planes:
    """Returns planes of the other frame moved to where their pixels are in the frame that the flow begins at."""
    columns, rows = _grid(*flow.shape[:2])
    image = np.ascontiguousarray(planes.transpose(1, 2, 0))
    moved = cv2.remap(
        image, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved.reshape(*flow.shape[:2], -1).transpose(2, 0, 1)


def trust(gray: Gray, other: Gray, flow: Flow) -> Gray:
    """Returns how far the motion to another frame can be trusted at each pixel, from 0 to 1, by how alike the two are.

    A change of all of the light, as films flicker, does not count.
    """
    difference = gray - warp(other[None], flow)[0]
    difference = cv2.GaussianBlur(difference - np.median(difference), (0, 0), GRAIN)
    return np.exp(-((difference / np.float32(TRUST)) ** 2))


def _codes(gray: Gray) -> np.ndarray:
    return (gray * 255).astype(np.uint8)


@cache
def _grid(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    return columns, rows
