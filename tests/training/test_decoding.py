import io
import struct

import numpy as np
import pytest
import pyvips
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms
from toy import jpeg

from photochrom.evaluation.protocols import resize
from photochrom.imaging.sources import SourceImage
from photochrom.training.decoding import crop, decode, shrink, stored_size


def write_image(folder, content):
    (folder / "photo.jpg").write_bytes(content)
    return SourceImage(str(folder), "photo.jpg", 0, len(content))


def test_crop_takes_the_square_at_the_position(tmp_path):
    ramp = np.tile(np.linspace(0, 255, 120).astype(np.uint8), (60, 1))
    buffer = io.BytesIO()
    Image.fromarray(np.stack([ramp] * 3, -1)).save(buffer, "PNG")
    image = write_image(tmp_path, buffer.getvalue())
    left, right = crop(image, 60, 1.0, 0.0, 0.5), crop(image, 60, 1.0, 1.0, 0.5)
    assert np.array_equal(left[..., 0], ramp[:, :60])
    assert np.array_equal(right[..., 0], ramp[:, 60:])
    half = crop(image, 30, 0.5, 0.0, 0.0)
    assert np.array_equal(half[..., 0], ramp[:30, :30])


@pytest.mark.parametrize("factor", [3, 2.5])
def test_areas_are_averaged(tmp_path, factor):
    """As the protocol of ColTran's paper does, whatever the factor; a square between pixels takes parts of them."""
    side = round(8 * factor)
    pixels = np.random.default_rng(0).integers(0, 256, (side, 2 * side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    image = write_image(tmp_path, buffer.getvalue())
    expected = resize(pixels, 8, 16, "area").astype(int)
    assert np.abs(shrink(image, (8, 16), "area") - expected).max() <= 1
    assert np.abs(crop(image, 8, 1.0, 1.0, 0.5, "area") - expected[:, 8:]).max() <= 1
    assert np.abs(shrink(image, (8, 16)) - expected).max() > 10
    half = crop(image, 1, 1 / side, 0.5 / (2 * side - 1), 0.0, "area")
    assert np.abs(half[0, 0] - pixels[0, :2].mean(0)).max() <= 0.51


def test_orientation_is_applied_and_large_jpegs_come_smaller(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = write_image(tmp_path, jpeg(0, 40, 50, exif=exif.tobytes()))
    assert decode(rotated, 40).shape == (50, 40, 3)
    large = write_image(tmp_path, jpeg(0, 800, 1000))
    assert decode(large, 100).shape == (100, 125, 3)
    assert decode(large, 101).shape == (200, 250, 3)


def display_p3():
    """The profile of a wide-gamut screen: sRGB's with its primaries (XYZ, D50) changed."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    primaries = {b"r": (0.51512, 0.2412, -0.00105), b"g": (0.29198, 0.69225, 0.04189), b"b": (0.1571, 0.06657, 0.78407)}
    for channel, values in primaries.items():
        entry = profile.index(channel + b"XYZ", 128)
        (start,) = struct.unpack_from(">I", profile, entry + 4)
        struct.pack_into(">iii", profile, start + 8, *(round(v * 65536) for v in values))
    return bytes(profile)


def test_other_color_spaces_become_srgb(tmp_path):
    plain, wide = jpeg(3, form="PNG"), jpeg(3, form="PNG", icc_profile=display_p3())
    pixels = decode(write_image(tmp_path, wide), 40).astype(int)
    expected = pyvips.Image.new_from_buffer(wide, "").icc_transform("srgb", embedded=True).numpy()
    assert np.abs(pixels - expected).max() <= 2
    assert np.abs(pixels - decode(write_image(tmp_path, plain), 40)).max() > 20


@pytest.mark.parametrize(
    "profile", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), b"no profile at all"]
)
def test_srgb_and_damaged_profiles_change_nothing(tmp_path, profile):
    plain = decode(write_image(tmp_path, jpeg(3)), 40)
    assert np.array_equal(decode(write_image(tmp_path, jpeg(3, icc_profile=profile)), 40), plain)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "RGBA"])
def test_other_modes_with_a_color_profile(tmp_path, mode):
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg(3))) as image:
        image.convert(mode).save(buffer, "TIFF", icc_profile=display_p3())
    assert decode(write_image(tmp_path, buffer.getvalue()), 40).shape == (40, 50, 3)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("side", [10, 33, 40, 100])
def test_images_shrink_to_the_size_that_their_header_foretells(tmp_path, form, side):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = write_image(tmp_path, jpeg(0, 40, 51, form=form, exif=exif.tobytes()))
    sides = stored_size(image, side)
    height, width, _ = shrink(image, sides).shape
    assert min(height, width) == min(side, 40)
    assert sorted((height, width)) == sorted(sides)
    assert height > width


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(150, 900), st.integers(150, 900))
def test_large_jpegs_shrink_to_the_size_that_their_header_foretells(tmp_path, width, height):
    """They are decoded at an eighth to a half of their size, whose rounding is another."""
    image = write_image(tmp_path, jpeg(0, height, width))
    sides = stored_size(image, 171)
    assert sorted(shrink(image, sides).shape[:2]) == sorted(sides)
