from dataclasses import dataclass
from typing import Any

import pytest
import pyvips

from fake_networks import FakeNetworks, sample_image
from photochrom.evaluation.measure import Row
from photochrom.imaging.errors import PhotoError
from photochrom.imaging.sources import SourceImage


@dataclass(frozen=True)
class MemoryImage(SourceImage):
    """An image of a source that lies in memory."""

    pixels: Any = None

    def open(self):
        if self.pixels is None:
            raise PhotoError(f"{self.name}: cannot be read")
        return pyvips.Image.new_from_array(self.pixels).write_to_buffer(".png")


def memory_image(name, crc, pixels):
    return MemoryImage("memory", name, crc, 1, pixels)


def memory_images(count):
    return {f"p{i}": memory_image(f"p{i}", i, sample_image(i)) for i in range(count)}


@pytest.fixture
def networks():
    FakeNetworks.calls = 0
    return FakeNetworks()


@pytest.fixture
def images():
    return memory_images(70)


@pytest.fixture
def faded():
    return Row("faded", "faded", lambda name, truth: [truth // 2 + 60, truth // 3 + 80])
