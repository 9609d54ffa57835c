"""Photos of every format, depth and mode: opened, converted to grayscale, colorized, written."""

import hashlib
import io
import struct

import numpy as np
import pytest
import pyvips
from PIL import Image

from photochrom.core import color
from photochrom.imaging import jpeg
from photochrom.imaging.photo import Colorized, PhotoError, Provenance, open_photo

PROVENANCE = Provenance("default", "1", 7)
LOSSLESS = (".png", ".tif", ".webp")
LOSSY = (".jpg", ".avif")


def make_pixels(height=37, width=53, channels=1, dtype=np.uint8):
    """Smooth pixels with every tone from black to white, and an alpha that is never 0."""
    y, x = np.mgrid[:height, :width]
    planes = [(x + y) / (width + height - 2), (x / (width - 1)) ** 2, 1 - y / (height - 1), 0.3 + 0.5 * x / (width - 1)]
    chosen = [planes[0], planes[3]] if channels == 2 else planes[:channels]
    return np.rint(np.stack(chosen, -1) * np.iinfo(dtype).max).astype(dtype)


def make_ab(amplitude=0.3, height=5, width=7):
    return np.random.default_rng(3).uniform(-amplitude, amplitude, (2, height, width)).astype(np.float32)


def encode(pixels, suffix, **options):
    deep, channels = pixels.dtype == np.uint16, pixels.shape[2]
    name = ("grey16" if deep else "b-w") if channels < 3 else ("rgb16" if deep else "srgb")
    return pyvips.Image.new_from_array(pixels).copy(interpretation=name).write_to_buffer(suffix, **options)


def decode(blob):
    return pyvips.Image.new_from_buffer(blob, "")


def lightness(pixels):
    """L of (h, w, 1-4) codes, alpha left out."""
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    rgb = pixels[..., : 3 if pixels.shape[2] > 2 else 1].astype(float) / np.iinfo(pixels.dtype).max
    return color.rgb_to_lab(np.broadcast_to(rgb, (*pixels.shape[:2], 3)).transpose(2, 0, 1))[0]


def assert_same_light(before, after, mean=0.1, most=1.0):
    difference = np.abs(lightness(before) - lightness(after))
    assert difference.mean() <= mean
    assert difference.max() <= most


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_output_keeps_size_depth_alpha_and_lightness(suffix, channels, dtype):
    source = make_pixels(channels=channels, dtype=dtype)
    if dtype == np.uint16 and suffix in (".jpg", ".webp", ".avif"):
        pytest.skip("these formats hold 8 bits, AVIF 12")
    if channels in (2, 4) and suffix == ".jpg":
        pytest.skip("JPEG has no alpha channel")
    options = {"lossless": True} if suffix in (".webp", ".avif") else {"Q": 100} if suffix == ".jpg" else {}
    blob = encode(source, suffix, **options)
    stored = decode(blob).numpy().reshape(37, 53, -1)
    photo = open_photo(blob)
    assert (photo.width, photo.height) == (53, 37)
    assert photo.depth == dtype().itemsize * 8
    assert photo.alpha == (channels in (2, 4))
    assert photo.suffix == suffix
    result = decode(Colorized(photo, make_ab(), PROVENANCE).to_bytes(suffix)).numpy()
    assert result.shape == (37, 53, 4 if photo.alpha else 3)
    assert result.dtype == dtype
    assert np.ptp(result[..., :3].astype(int), axis=2).max() > 20
    lossy = suffix in LOSSY
    assert_same_light(stored, result, *((0.3, 2.0) if lossy else (0.1, 1.0)))
    if photo.alpha:
        assert np.abs(result[..., -1].astype(int) - stored[..., -1]).max() <= (2 if lossy else 0)


def textured(size=192):
    """Pixels that are hard to compress: grain over light and dark fields with sharp edges."""
    y, x = np.mgrid[:size, :size]
    fields = np.where((x // 24 + y // 31) % 2, 190.0, 60.0) + 20 * np.sin(x * y / 900)
    grain = np.random.default_rng(5).normal(0, 12, fields.shape)
    return np.rint(np.clip(fields + grain, 0, 255)).astype(np.uint8)[..., None]


@pytest.mark.parametrize("suffix", LOSSY)
@pytest.mark.parametrize("quality", [75, 90, 95, 98, 100])
def test_compression_error_of_textured_photos(suffix, quality):
    blob = encode(textured(), ".jpg", Q=quality)
    result = decode(Colorized(open_photo(blob), make_ab(), PROVENANCE).to_bytes(suffix))
    assert_same_light(decode(blob).numpy(), result.numpy(), 0.3, 2.5)


def steps(blob):
    return Image.open(io.BytesIO(blob)).quantization[0]


@pytest.mark.parametrize(("quality", "written"), [(60, 98), (95, 98), (98, 98), (99, 99), (100, 100)])
def test_a_jpeg_is_quantized_no_coarser_than_its_original(quality, written):
    blob = Colorized(open_photo(encode(make_pixels(), ".jpg", Q=quality)), make_ab(), PROVENANCE).to_bytes(".jpg")
    assert steps(blob) == steps(encode(make_pixels(), ".jpg", Q=written))


def test_default_quality_for_other_formats_and_jpeg_without_tables():
    for blob in (b"\xff\xd8\xff", b"\xff\xd8\xff\xdb\0\0\xff"):
        assert jpeg.copy_quality(blob) == jpeg.QUALITY
    for source in (encode(make_pixels(), ".png"), make_pixels()):
        assert open_photo(source).reader.jpeg_quality == jpeg.QUALITY


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I;16B", "HSV", "LAB"]
)
def test_every_mode_of_pillow_image(mode):
    base = Image.fromarray(make_pixels(channels=3))
    image = Image.fromarray(make_pixels(dtype=np.uint16)[..., 0]) if mode == "I;16" else None
    if mode == "I;16B":
        image = Image.frombytes(mode, base.size, make_pixels(dtype=np.uint16).astype(">u2").tobytes())
    if image is None and mode == "PA":
        image = base.convert("P").convert("PA")
    elif image is None and mode == "LAB":
        image = Image.frombytes("LAB", base.size, make_pixels(channels=3).tobytes())
    image = image or base.convert(mode)
    result = Colorized(open_photo(image), make_ab(), PROVENANCE)
    array = result.array()
    assert array.shape[:2] == (37, 53)
    assert array.dtype == (np.uint16 if mode.startswith("I;16") else np.uint8)
    pillow = result.pillow()
    assert pillow.size == image.size
    assert pillow.mode == ("RGBA" if mode in ("LA", "PA", "RGBA") else "RGB")
    assert pillow.info["icc_profile"]
    assert b"compositeWithTrainedAlgorithmicMedia" in pillow.info["xmp"]
    if mode in ("1", "L", "RGB", "RGBA", "LA"):
        assert_same_light(
            np.asarray(image.convert("RGB" if "RGB" in mode else "L"))[..., None][..., 0:1]
            if "RGB" not in mode
            else np.asarray(image),
            array,
        )


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("mode", ["1", "P"])
def test_bilevel_and_palette_files(suffix, mode):
    buffer = io.BytesIO()
    image = Image.fromarray(make_pixels(channels=3)).convert(mode)
    image.save(buffer, {".png": "PNG", ".tif": "TIFF"}[suffix])
    result = Colorized(open_photo(buffer.getvalue()), make_ab(), PROVENANCE).array()
    assert result.dtype == np.uint8
    assert_same_light(np.asarray(image.convert("RGB")), result)


@pytest.mark.parametrize("profile", [None, pyvips.Image.profile_load("cmyk")], ids=["bare", "profile"])
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_files(suffix, profile):
    rgb = Image.fromarray(make_pixels(channels=3))
    buffer = io.BytesIO()
    rgb.convert("CMYK").save(buffer, {".jpg": "JPEG", ".tif": "TIFF"}[suffix], icc_profile=profile)
    photo = open_photo(buffer.getvalue())
    result = decode(Colorized(photo, make_ab(), PROVENANCE).to_bytes(suffix))
    assert result.bands == 3
    light = lightness(result.numpy())
    assert not photo.alpha
    assert np.corrcoef(light.ravel(), lightness(np.asarray(rgb)).ravel())[0, 1] > 0.95


@pytest.mark.parametrize("kind", ["float", "uint"])
def test_tiff_of_floats_and_32_bit_integers(kind):
    ramp = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (8, 64))
    values = (ramp.astype(np.float64) * (2**32 - 1)).astype(np.uint32) if kind == "uint" else ramp
    blob = pyvips.Image.new_from_array(values[..., None]).tiffsave_buffer()
    result = Colorized(open_photo(blob), make_ab() * 0, PROVENANCE).array()
    expected = ramp if kind == "uint" else color.linear_to_srgb(np.broadcast_to(ramp, (3, 8, 64)))[0]
    assert result.dtype == np.uint16
    assert np.abs(result[..., 0] / 65535 - expected).max() < 1e-3


def test_floats_beyond_1_are_refused():
    codes = np.broadcast_to(np.linspace(0, 255, 64, dtype=np.float32), (8, 64))
    photo = open_photo(pyvips.Image.new_from_array(codes[..., None]).tiffsave_buffer())
    with pytest.raises(PhotoError, match=r"floats must be linear light from 0 to 1, but their mean is 12\d"):
        photo.gray(32)


def test_floats_that_are_no_numbers_are_refused():
    values = np.full((8, 64, 1), np.nan, np.float32)
    with pytest.raises(PhotoError, match="floats must be linear light from 0 to 1, but their mean is nan"):
        open_photo(pyvips.Image.new_from_array(values).tiffsave_buffer()).gray(32)


def test_signed_integers_are_refused():
    blob = pyvips.Image.black(8, 8).cast("short").tiffsave_buffer()
    with pytest.raises(PhotoError, match="scan: numbers of type short; save it with"):
        open_photo(blob, name="scan").gray(32)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_orientation_is_applied_and_reset(orientation, suffix):
    source = pyvips.Image.new_from_array(make_pixels(40, 64)).copy(interpretation="b-w")
    source = source.insert(pyvips.Image.black(20, 10) + 200, 0, 0).cast("uchar")
    source.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    blob = source.write_to_buffer(suffix, **({"lossless": True} if suffix == ".webp" else {}))
    upright = decode(blob).autorot().numpy()
    photo = open_photo(blob)
    assert (photo.height, photo.width) == upright.shape[:2]
    ab = np.zeros((2, 2, 2), np.float32)
    ab[0, 0, 0] = 0.5  # reddish in the top left corner of the upright image
    image = decode(Colorized(photo, ab, PROVENANCE).to_bytes(suffix))
    result = image.numpy()
    assert not image.get_typeof("orientation") or image.get("orientation") == 1
    assert_same_light(upright, result, 0.3, 3)
    red = result[..., 0].astype(int) - result[..., 1]
    corner = red[: photo.height // 4, : photo.width // 4].mean()
    assert corner > 10 + red[-photo.height // 4 :].mean()
    gray = photo.gray(32, 1)[0]
    assert gray.shape == ((51, 32) if orientation > 4 else (32, 51))
    small = decode(blob).autorot().resize(gray.shape[1] / photo.width, vscale=gray.shape[0] / photo.height).numpy()
    assert np.abs(gray - (lightness(small.reshape(*gray.shape, -1)) / 50 - 1)).max() < 0.15


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9), (3, 2000), (2000, 3), (31, 33)])
def test_odd_sizes(width, height, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 1)).astype(np.uint8)
    photo = open_photo(encode(pixels, ".png"))
    gray = photo.gray(64, 32)
    assert gray.shape[1] % 32 == 0
    assert gray.shape[2] % 32 == 0
    assert max(gray.shape) <= 128
    assert gray.dtype == np.float32
    result = Colorized(photo, make_ab(0.3, *gray.shape[1:]), PROVENANCE).array()
    assert result.shape == (height, width, 3)
    assert_same_light(pixels, result)


def test_gray_conventions_and_range():
    rgb = make_pixels(64, 64, 3)
    photo = open_photo(rgb)
    unit = rgb.transpose(2, 0, 1).astype(np.float32) / 255
    for convention in color.GRAY_CONVENTIONS:
        gray = photo.gray(64, 32, convention)
        assert gray.shape == (1, 64, 64)
        np.testing.assert_allclose(gray[0], color.rgb_to_gray(unit, convention), atol=1e-5)


def test_gray_of_a_shrunk_jpeg_equals_that_of_its_pixels():
    pixels = np.asarray(Image.fromarray(make_pixels(60, 90)[..., 0]).resize((1800, 1200), Image.Resampling.BICUBIC))
    gray = open_photo(encode(pixels[..., None], ".jpg", Q=95)).gray(64, 1)
    small = np.asarray(Image.fromarray(pixels).resize((96, 64), Image.Resampling.LANCZOS))
    assert np.abs(gray[0] - (lightness(small[..., None]) / 50 - 1)).max() < 0.03


def test_saturation_scales_chroma():
    photo = open_photo(np.full((16, 16), 128, np.uint8))
    ab = np.full((2, 4, 4), 0.1, np.float32)
    means = []
    for saturation in (0, 0.5, 1, 2):
        lab = color.rgb_to_lab(Colorized(photo, ab * saturation, PROVENANCE).array().transpose(2, 0, 1) / 255)
        means.append(lab[1].mean())
    np.testing.assert_allclose(means, [0, 5.5, 11, 22], atol=0.4)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, "strided", io.BytesIO])
def test_bytes_of_every_kind(kind):
    blob = encode(make_pixels(), ".png")
    source = memoryview(blob[::-1])[::-1] if kind == "strided" else kind(blob)
    photo = open_photo(source)
    assert np.array_equal(photo.pixels(), open_photo(blob).pixels())
    assert photo.original.sha256 == hashlib.sha256(blob).hexdigest()


def test_arrays_of_bools_and_floats():
    source = make_pixels()[..., 0]
    for array in (source > 127, source / 255, source[..., None], (source / 255).astype(np.float32)):
        result = Colorized(open_photo(array), make_ab() * 0, PROVENANCE).array()
        expected = np.asarray(array, float).reshape(37, 53)
        assert np.abs(result[..., 0] / np.iinfo(result.dtype).max - expected / expected.max()).max() < 1e-3


def make_profile(space, gamma, primaries=()):
    """A profile of primaries (XYZ, D50) and a gamma."""

    def s15(*values):
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    name = b"for a unit test  \0"
    tags = {b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78), b"wtpt": s15(0.9642, 1, 0.8249)}
    tags[b"cprt"] = b"text\0\0\0\0none\0\0\0\0"
    for channel, values in zip((b"r", b"g", b"b"), primaries, strict=False):
        tags |= {channel + b"XYZ": s15(*values), channel + b"TRC": curve}
    if not primaries:
        tags[b"kTRC"] = curve
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for tag, content in tags.items():
        content += b"\0" * (-len(content) % 4)
        table += tag + struct.pack(">II", start + len(body), len(content))
        body += content
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02100000, b"mntr", space, b"XYZ ") + bytes(12)
    head += b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061) + bytes(48)
    return head + struct.pack(">I", len(tags)) + table + body


ADOBE = make_profile(
    b"RGB ", 2.19921875, ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
)


def test_profiles_are_applied_and_replaced():
    rgb = np.full((16, 16, 3), (200, 60, 90), np.uint8)
    image = pyvips.Image.new_from_array(rgb).copy(interpretation="srgb")
    image.set_type(pyvips.GValue.blob_type, "icc-profile-data", ADOBE)
    photo = open_photo(image.pngsave_buffer())
    expected = image.icc_transform("srgb", embedded=True, depth=16).numpy()
    assert np.abs(lightness(rgb) - lightness(expected)).mean() > 1
    written = decode(Colorized(photo, make_ab() * 0, PROVENANCE).to_bytes(".png"))
    assert_same_light(expected, written.numpy())
    assert written.get("icc-profile-data") != ADOBE
    assert b"sRGB" in written.get("icc-profile-data") or b"s\0R\0G\0B" in written.get("icc-profile-data")
    np.testing.assert_allclose(photo.gray(32)[0], lightness(expected).mean() / 50 - 1, atol=0.01)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("profile", [make_profile(b"GRAY", 1.8), ADOBE], ids=["gray", "color"])
def test_gray_photo_with_gray_or_color_profile(profile, dtype):
    buffer = io.BytesIO()
    Image.fromarray(make_pixels(dtype=dtype)[..., 0]).save(buffer, "TIFF", icc_profile=profile)
    photo = open_photo(buffer.getvalue())
    result = Colorized(photo, make_ab() * 0, PROVENANCE).array()
    is_gray = profile[16:20] == b"GRAY"
    gamma = 1.8 if is_gray else 2.2
    note = "the color profile is one for RGB: of it, only the tone curve was used"
    assert photo.reader.notes == ([] if is_gray else [note])
    light = (make_pixels(dtype=dtype)[..., 0] / np.iinfo(dtype).max) ** gamma
    expected = color.linear_to_srgb(np.broadcast_to(light, (3, 37, 53))).transpose(1, 2, 0)
    assert np.abs(result / np.iinfo(dtype).max - expected).max() < 0.01


def test_first_page_of_a_multi_page_tiff():
    pages = pyvips.Image.new_from_array(make_pixels()).copy(interpretation="b-w")
    blob = pyvips.Image.arrayjoin([pages, pages.invert()], across=1).tiffsave_buffer(page_height=37)
    photo = open_photo(blob)
    assert (photo.width, photo.height) == (53, 37)
    assert_same_light(make_pixels(), Colorized(photo, make_ab(), PROVENANCE).array())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_bmp_of_every_mode(mode):
    image = Image.fromarray(make_pixels(channels=3)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    photo = open_photo(buffer.getvalue())
    assert photo.suffix == ".png"
    result = Colorized(photo, make_ab(), PROVENANCE).array()
    assert result.dtype == np.uint8
    assert_same_light(np.asarray(image.convert("RGB")), result)


def test_jpeg_2000_and_heic_through_pillow():
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    Image.fromarray(make_pixels()[..., 0]).save(buffer, "JPEG2000")
    photo = open_photo(buffer.getvalue())
    assert photo.suffix == ".tif"
    assert_same_light(make_pixels(), Colorized(photo, make_ab(), PROVENANCE).array())
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(make_pixels(64, 64, 3))).save(buffer, quality=95)
    photo = open_photo(buffer.getvalue())
    assert photo.suffix == ".jpg"
    assert_same_light(make_pixels(64, 64, 3), Colorized(photo, make_ab(), PROVENANCE).array(), 1, 5)


def encode_with_profile(pixels, mode, profile, suffix):
    buffer = io.BytesIO()
    kind = {".jpg": "JPEG", ".tif": "TIFF", ".png": "PNG"}[suffix]
    Image.frombytes(mode, pixels.shape[1::-1], pixels.tobytes()).save(buffer, kind, icc_profile=profile)
    return buffer.getvalue()


SRGB, CMYK = pyvips.Image.profile_load("srgb"), pyvips.Image.profile_load("cmyk")
BROKEN_PROFILES = {
    "does not fit the pixels": [CMYK, make_profile(b"GRAY", 1.8), SRGB[:16] + b"Lab " + SRGB[20:]],
    "is damaged": [ADOBE[:200], ADOBE[:300], b"not a profile" * 20, ADOBE[:132] + bytes(600), b"x"],
}


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".png"])
@pytest.mark.parametrize("reason", BROKEN_PROFILES)
def test_a_profile_that_cannot_be_used_is_left_aside_with_a_note(reason, suffix):
    pixels = make_pixels(channels=3)
    for profile in BROKEN_PROFILES[reason]:
        photo = open_photo(encode_with_profile(pixels, "RGB", profile, suffix))
        result = Colorized(photo, make_ab() * 0, PROVENANCE).array()
        if suffix == ".png":  # libpng passes over some without saying why
            assert "the color profile was left aside: it " in photo.reader.notes[0]
        else:
            assert photo.reader.notes == [f"the color profile was left aside: it {reason}"]
        assert_same_light(pixels, result, 0.3, 4.0)


@pytest.mark.parametrize("profile", [SRGB, make_profile(b"GRAY", 1.8), CMYK[:3000], b"none"])
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_cmyk_with_a_profile_that_cannot_be_used_is_read_by_the_built_in_one(profile, suffix):
    pixels = make_pixels(channels=4)
    photo = open_photo(encode_with_profile(pixels, "CMYK", profile, suffix))
    expected = open_photo(encode_with_profile(pixels, "CMYK", CMYK, suffix)).pixels()
    assert_same_light(expected, photo.pixels())
    assert [note for note in photo.reader.notes if note.startswith("the color profile was left aside: it ")]


@pytest.mark.parametrize(("channels", "profile"), [(1, make_profile(b"GRAY", 1.8)), (3, ADOBE), (3, SRGB)])
def test_floats_with_a_profile_are_read_by_it(channels, profile):
    pixels = make_pixels(channels=channels)
    images = [pyvips.Image.new_from_array(array).copy() for array in (pixels.astype(np.float32) / 255, pixels)]
    for image in images:
        image.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    photo, expected = (open_photo(image.tiffsave_buffer()) for image in images)
    assert photo.depth == 16
    assert_same_light(expected.pixels(), photo.pixels())
    assert not photo.reader.notes
