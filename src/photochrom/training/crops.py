"""Random crops of the training photos: decoded once and kept as bytes where they fit, else decoded for each batch."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from .._processes import available_processors
from ..imaging.sources import SourceImage
from .decoding import crop, shrink, stored_size
from .processes import ignore_interrupts
from .recipe import Data

log = logging.getLogger(__name__)

GB = 10**9
ALIASING = 1.6  # a crop reduced by more is sampled twice as densely


@dataclass(frozen=True)
class Crops:
    """Squares of images, a tensor (b,) each: ``scale`` of the short side, placed by ``left`` and ``top``, 0 to 1."""

    image: Tensor  # index
    scale: Tensor
    left: Tensor
    top: Tensor
    mirrored: Tensor

    def to(self, device: torch.device) -> "Crops":
        """Return the crops on a device."""
        return Crops(**{name: tensor.to(device, non_blocking=True) for name, tensor in vars(self).items()})


def random_crops(numbers: range, images: int, settings: Data, seed: int) -> Crops:
    """Return crops of so many images, each once an epoch: crop k of a training depends on the seed and k alone."""
    indices = []
    for number in numbers:
        epoch, place = divmod(number, images)
        indices.append(_permutation(seed, epoch, images)[place])
    # This generator is a function of a counter, and each count gives four numbers.
    generator = np.random.Generator(np.random.Philox(key=seed).advance(numbers.start))
    scale, left, top, flip = torch.from_numpy(generator.random((len(numbers), 4))).float().T
    low, high = settings.scale
    mirrored = (flip < 0.5) & settings.flip
    return Crops(torch.tensor(indices), low + (high - low) * scale, left, top, mirrored)


@lru_cache(maxsize=2)
def _permutation(seed: int, epoch: int, count: int) -> Any:
    return np.random.default_rng((seed, 0, epoch)).permutation(count)


class CropReader:
    """Batches of random crops, as sRGB in [0, 1] on the device that trains.

    Photos are decoded once, at a short side from which the smallest crop still has `Data.size` pixels. They are kept on
    a GPU if they take at most half its free memory, else in main memory if they take at most `Data.memory` GB. Else
    `Data.workers` processes decode each crop when it is due.
    """

    def __init__(self, images: Sequence[SourceImage], settings: Data, seed: int, device: torch.device) -> None:
        self.images, self.settings, self.seed, self.device = images, settings, seed, device
        self.store: PixelStore | None = None
        side = math.ceil(settings.size / settings.scale[0])
        with ThreadPoolExecutor(available_processors()) as pool:
            sizes = list(pool.map(partial(stored_size, side=side), images))
        gigabytes = 3 * sum(height * width for height, width in sizes) / GB
        on_device = device.type == "cuda" and gigabytes * GB <= torch.cuda.mem_get_info(device)[0] / 2
        if on_device or gigabytes <= settings.memory:
            log.info("decoding %d photos into %.2f GB", len(images), gigabytes)
            place = device if on_device else torch.device("cpu")
            self.store = PixelStore(images, sizes, place, settings.resampling)
        else:
            log.info("decoding each batch: %.1f GB is more than data.memory = %g", gigabytes, settings.memory)

    def batches(self, numbers: Iterable[range]) -> Iterator[Float[Tensor, "b 3 n n"]]:
        """Yield the crops of these numbers, a batch for each range."""
        if self.store is None:
            for codes in self._decoded_batches(numbers):
                yield codes.to(self.device, non_blocking=True).float() / 255
            return
        low, high = self.settings.scale
        for batch in numbers:
            crops = random_crops(batch, len(self.images), self.settings, self.seed)
            rgb = self.store.read(crops, self.settings.size, dense=high / low > ALIASING)
            if self.device.type == "cuda" and not rgb.is_cuda:
                rgb = rgb.pin_memory()  # else the copy would wait for the GPU
            yield rgb.to(self.device, non_blocking=True)

    def _decoded_batches(self, numbers: Iterable[range]) -> DataLoader[UInt8[Tensor, "3 n n"]]:
        workers = self.settings.workers
        return DataLoader(
            DecodedCrops(self.images, self.settings, self.seed),
            batch_sampler=numbers,  # type: ignore[arg-type]
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=ignore_interrupts,
            pin_memory=self.device.type == "cuda",
        )


class PixelStore:
    """Decoded images of any sizes on one device, as the bytes of their pixels, end to end."""

    def __init__(
        self,
        images: Sequence[SourceImage],
        sizes: Sequence[tuple[int, int]],
        device: torch.device,
        resampling: str = "smooth",
    ) -> None:
        """Decode each image at the two sides of its size, either first."""
        counts = np.prod(sizes, 1)
        ends = np.cumsum(counts)
        self.codes = torch.empty(int(ends[-1]), 3, dtype=torch.uint8, device=device)
        upright = []
        reduce = partial(shrink, resampling=resampling)
        with ThreadPoolExecutor(available_processors()) as pool:
            for end, count, image in zip(ends, counts, pool.map(reduce, images, sizes), strict=True):
                self.codes[end - count : end] = torch.from_numpy(image.reshape(-1, 3))
                upright.append(image.shape[:2])
        self.height, self.width = torch.tensor(upright, device=device).T
        self.start = torch.from_numpy(ends - counts).to(device)

    def read(self, crops: Crops, size: int, dense: bool = False) -> Float[Tensor, "b 3 n n"]:
        """Return crops resized to ``size`` pixels, bilinearly; ``dense``: as the mean of 2 x 2 samples a pixel."""
        crops = crops.to(self.codes.device)
        height, width = self.height[crops.image, None], self.width[crops.image, None]
        side = crops.scale[:, None] * torch.minimum(height, width)
        samples = size * (2 if dense else 1)
        steps = (torch.arange(samples, device=side.device) + 0.5) / samples
        columns = torch.where(crops.mirrored[:, None], 1 - steps, steps)
        above, below, row_share = _neighbors((height - side) * crops.top[:, None] + side * steps, height)
        before, after, column_share = _neighbors((width - side) * crops.left[:, None] + side * columns, width)
        start = self.start[crops.image, None]

        def codes(y: Tensor, x: Tensor) -> Tensor:
            index = (start + y * width)[:, :, None] + x[:, None]
            return self.codes.index_select(0, index.ravel()).view(*index.shape, 3).float()

        def row(y: Tensor) -> Tensor:
            return torch.lerp(codes(y, before), codes(y, after), column_share[:, None, :, None])

        rgb = torch.lerp(row(above), row(below), row_share[:, :, None, None]).movedim(3, 1) / 255
        return F.avg_pool2d(rgb, 2) if dense else rgb.contiguous()


def _neighbors(position: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of the pixels before and after each position, in pixels, and the share of the second."""
    center = torch.minimum((position - 0.5).clamp(min=0), length - 1)
    before = center.long()
    return before, torch.minimum(before + 1, length - 1), center - before


class DecodedCrops(Dataset[UInt8[Tensor, "3 n n"]]):
    """Crop k of a training, decoded when it is asked for, as sRGB bytes."""

    def __init__(self, images: Sequence[SourceImage], settings: Data, seed: int) -> None:
        self.images, self.settings, self.seed = images, settings, seed

    def __getitem__(self, number: int) -> UInt8[Tensor, "3 n n"]:
        crops = random_crops(range(number, number + 1), len(self.images), self.settings, self.seed)
        place = (crops.scale.item(), crops.left.item(), crops.top.item())
        rgb = crop(self.images[int(crops.image)], self.settings.size, *place, self.settings.resampling)
        if crops.mirrored:
            rgb = rgb[:, ::-1]
        return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))


def middle_squares(images: Sequence[SourceImage], size: int, resampling: str = "smooth") -> UInt8[Tensor, "b 3 n n"]:
    """Return the largest square in the middle of each image, resized, as sRGB bytes."""
    middle = partial(crop, size=size, scale=1.0, left=0.5, top=0.5, resampling=resampling)
    with ThreadPoolExecutor(available_processors()) as pool:
        squares = list(pool.map(middle, images))
    return torch.from_numpy(np.stack(squares)).movedim(3, 1).contiguous()
