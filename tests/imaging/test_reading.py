"""Kinds of files that are rare or damaged: read with a note of what was left aside, or refused in one sentence."""

import base64
import io
import re
import struct

import numpy as np
import pytest
import pyvips
from PIL import Image

from photochrom.core import color
from photochrom.imaging import formats, tiff
from photochrom.imaging.notes import NO_ATTACHMENTS
from photochrom.imaging.photo import Colorized, PhotoError, Provenance, open_photo
from photochrom.imaging.tones import BLACK_AND_WHITE, IN_COLOR

PROVENANCE = Provenance("default", "1", 0)
AB = np.zeros((2, 4, 4), np.float32)
CODES = {1: "B", 3: "H", 4: "I", 5: "II", 7: "B", 13: "I"}  # of TIFF types, for `struct`


def smooth(height=40, width=56, channels=1):
    y, x = np.mgrid[:height, :width]
    planes = [(x + y) / (width + height - 2), 1 - y / (height - 1), x / (width - 1), np.full((height, width), 0.8)]
    return np.rint(np.stack(planes[:channels], -1) * 255).astype(np.uint8)


def lively(height=72, width=88, channels=1):
    """Pixels with detail in every block, so that a missing one shows."""
    grain = np.random.default_rng(0).normal(0, 15, (height, width, channels))
    return np.clip(smooth(height, width, channels) * 0.8 + 25 + grain, 0, 255).astype(np.uint8)


def with_pillow(pixels, kind, **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(buffer, kind, **options)
    return buffer.getvalue()


def tiff_file(*pages, order="<"):
    """A TIFF of pages (tags, pixels); tags are {number: (type, values)}, added to those of 8-bit gray."""
    file = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    pointer = 4
    for tags, pixels in pages:
        height, width = pixels.shape[:2]
        body = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
        channels = pixels.shape[2] if pixels.ndim == 3 else 1
        bits = [pixels.dtype.itemsize * 8] * channels
        all_tags = {256: (3, [width]), 257: (3, [height]), 258: (3, bits), 259: (3, [1]), 262: (3, [1])}
        all_tags |= {273: (4, [len(file)]), 277: (3, [channels]), 278: (3, [height]), 279: (4, [len(body)])} | tags
        file += body + b"\0" * (len(body) % 2)
        entries = b""
        for tag, (kind, values) in sorted(all_tags.items()):
            value = b"".join(struct.pack(order + CODES[kind], number) for number in values)
            if len(value) > 4:
                place = len(file)
                file += value + b"\0" * (len(value) % 2)
                value = struct.pack(order + "I", place)
            entries += struct.pack(order + "HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
        file[pointer : pointer + 4] = struct.pack(order + "I", len(file))
        file += struct.pack(order + "H", len(all_tags)) + entries
        pointer = len(file)
        file += bytes(4)
    return bytes(file)


def lightness(pixels):
    """L of codes (h, w, 1 or 3)."""
    unit = pixels.astype(float) / np.iinfo(pixels.dtype).max
    return color.rgb_to_lab(np.broadcast_to(unit, (*pixels.shape[:2], 3)).transpose(2, 0, 1))[0]


def colorize(photo):
    photo.gray(32)
    return Colorized(photo, AB, PROVENANCE).array()


def assert_read_as(source, pixels, *notes, most=1.0, **options):
    """The source has the light of these pixels and no more than these notes; returns the photo."""
    photo = open_photo(source, **options)
    result = colorize(photo)
    assert result.shape[:2] == pixels.shape[:2] == (photo.height, photo.width)
    assert np.abs(lightness(result[..., :3]) - lightness(pixels)).max() <= most
    assert [note for note in photo.reader.notes if note not in (BLACK_AND_WHITE, IN_COLOR)] == list(notes)
    return photo


def assert_refused(source, match, **options):
    with pytest.raises(PhotoError, match=match) as caught:
        colorize(open_photo(source, **options))
    assert "\n" not in str(caught.value)


# JPEG

JPEG_KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 5},
    "full chroma": {"subsampling": 0},
}
NO_END = "the end marker of the JPEG was missing; all of its pixels are there"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_a_jpeg_without_its_end_marker_is_read_if_all_pixels_are_there(kind, channels, tmp_path):
    blob = with_pillow(lively(channels=channels), "JPEG", **JPEG_KINDS[kind])
    pixels = pyvips.Image.jpegload_buffer(blob).numpy().reshape(72, 88, channels)
    assert_read_as(blob, pixels)
    assert_read_as(blob + b"a trailer", pixels, NO_ATTACHMENTS)
    for whole in (blob[:-2], blob[:-1], blob[:-2] + bytes(500)):
        assert_read_as(whole, pixels, NO_END)
    (tmp_path / "scan.jpg").write_bytes(blob[:-2])
    assert_read_as(tmp_path / "scan.jpg", pixels, NO_END)
    for cut in (3, 4, 5, 9, 10, 17, 40, 76, 150, 400, len(blob) // 2):
        for damaged in (blob[:-cut], blob[:-cut] + bytes(cut + 99)):
            assert_refused(damaged, "cannot be read")
    scans = blob.split(b"\xff\xda")
    if kind == "progressive":  # cut between two scans: coarse, with every pixel
        assert_refused(b"\xff\xda".join(scans[:3]), "cannot be read")


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_a_jpeg_that_was_cut_and_given_an_end_is_refused(kind):
    blob = with_pillow(lively(200, 200), "JPEG", **JPEG_KINDS[kind])
    if kind != "restarts":  # there, the decoder finds its way again
        assert_refused(blob[: len(blob) // 2] + b"\xff\xd9", "premature end of data segment")


def test_a_jpeg_with_damaged_bytes_is_read_with_a_note():
    blob = bytearray(with_pillow(lively(200, 200), "JPEG", restart_marker_blocks=20))
    middle = blob.index(b"\xff\xd3")
    blob[middle:middle] = b"abcdefgh" * 9
    photo = open_photo(bytes(blob))
    assert colorize(photo).shape == (200, 200, 3)
    assert photo.reader.notes == ["the JPEG is damaged: some of its pixels may be wrong"]


@pytest.mark.parametrize("kind", JPEG_KINDS)
def test_what_follows_the_end_of_a_jpeg_is_noted_and_not_read(kind):
    pixels = lively()
    blob = with_pillow(pixels, "JPEG", quality=95, **JPEG_KINDS[kind])
    decoded = pyvips.Image.jpegload_buffer(blob).numpy().reshape(pixels.shape)
    frame_and_scan = b"\xff\xc2\0\x0b\x08\0\x09\0\x09\1\1\x11\0\xff\xda\0\x08\1\1\0\1\x05\0"
    for video in (frame_and_scan + b"moov", b"ftypmp42\xff\xda\0\x08", blob, b"\xff\xda" * 20 + b"\xff\xd9"):
        assert_read_as(blob + video, decoded, NO_ATTACHMENTS)
    for padding in (bytes(1), bytes(999), b"\xff\xd9"):
        assert_read_as(blob + padding, decoded)


def patch_frame(blob, marker=None, bits=None):
    data = bytearray(blob)
    start = data.index(b"\xff\xc0")
    data[start + 1] = marker or 0xC0
    data[start + 4] = bits or 8
    return bytes(data)


def test_jpegs_of_unusual_kinds_are_refused_in_a_sentence():
    blob = with_pillow(smooth(), "JPEG")
    assert_refused(patch_frame(blob, bits=12), "JPEG with 12 bits a channel is not supported; save it with 8")
    for marker in (0xC5, 0xC7, 0xCB, 0xCF):
        assert_refused(patch_frame(blob, marker), "this kind of JPEG is rare and not supported; save it")


# 16 x 12 pixels (13 x + 7 y) % 256, which Pillow cannot write: without loss, and with arithmetic coding.
LOSSLESS = """
/9j/4AAQSkZJRgABAQAAAQABAAD/wwALCAAMABABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABAMI/9oACAEBAAEAAM/ta1rWta1rWta27Wta1rWta1rW
tu1rWta1rWta1rbta1rWta1rWta27Wta1rWta1rWtu1rWta1rWta1rbta1rWta1rWta27Wta1rWta1rWtu1rWta1rWta1rbta1rWta1rWtbgy7Wta1rW
ta1rW4Mu1rWta1rWta3Bjf/Z
"""
ARITHMETIC = """
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAIBAQEBAQIBAQECAgICAgQDAgICAgUEBAMEBgUGBgYFBgYGBwkIBgcJBwYGCAsICQoKCgoKBggLDAsKDAkK
Cgr/yQALCAAMABABAREA/8wABgAQEAX/2gAIAQEAAD8A/wDln+cJWPMEmZYYZVUlpCBog0PPlN8/q+ZdbwIqW8GrDF5bI4Jucd1xyDxR6why6AEwCEkB
9i6UgF3zmAafpd2p25uZx2WUOdGaqa2r2ACmyvv41j0WmfHUHENoSsQrRQBZov8ATV4uAsr/2Q==
"""


@pytest.mark.parametrize(("text", "most"), [(LOSSLESS, 0.1), (ARITHMETIC, 4)])
def test_lossless_and_arithmetic_jpegs(text, most):
    y, x = np.mgrid[:12, :16]
    assert_read_as(base64.b64decode(text), ((13 * x + 7 * y) % 256).astype(np.uint8)[..., None], most=most)


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".jif"])
def test_other_suffixes_of_jpeg(suffix, tmp_path):
    path = tmp_path / f"scan{suffix}"
    path.write_bytes(with_pillow(smooth(), "JPEG"))
    target = Colorized(open_photo(path), AB, PROVENANCE).save(tmp_path / f"out{suffix}")
    assert target.read_bytes()[:3] == b"\xff\xd8\xff"


# TIFF


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("reduced", [{254: (4, [1])}, {255: (3, [2])}, {254: (4, [4])}], ids=["new", "old", "mask"])
def test_the_first_full_size_page_is_read(order, reduced):
    thumbnail, page, other = (reduced, smooth(10, 14)), ({}, smooth()), ({254: (4, [2])}, smooth(30, 30))
    assert_read_as(tiff_file(page, order=order), smooth())
    assert_read_as(tiff_file(thumbnail, page, order=order), smooth(), "1 more page was left out (--page)")
    assert_read_as(tiff_file(thumbnail, page, other, order=order), smooth(), "2 more pages were left out (--page)")
    assert_read_as(tiff_file(page, other, order=order), smooth(), "1 more page was left out (--page)")
    assert_read_as(tiff_file(thumbnail, order=order), smooth(10, 14))
    three = tiff_file(thumbnail, page, other, order=order)
    assert_read_as(three, smooth(10, 14), page=1)
    assert_read_as(three, smooth(30, 30), page=3)
    assert [open_photo(three, page=page).reader.page for page in (None, 1, 2, 3)] == [None, 1, None, 3]
    assert_refused(three, "bytes: has no page 4, only 3 pages; choose another --page", page=4)
    assert_refused(three, "has no page 0", page=0)


def test_pages_of_other_formats():
    frames = [Image.fromarray(lively()[..., 0]), Image.fromarray(lively()[::-1, ::-1, 0].copy())]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True})):
        buffer = io.BytesIO()
        frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], **options)
        assert_read_as(buffer.getvalue(), lively(), "1 more page was left out (--page)")
        assert_read_as(buffer.getvalue(), lively()[::-1, ::-1], page=2)
        assert_refused(buffer.getvalue(), "has no page 3, only 2 pages", page=3)
    for source in (with_pillow(smooth(), "JPEG"), with_pillow(smooth(), "BMP"), smooth(), Image.new("L", (9, 9))):
        assert_refused(source, "has no page 2, only 1 page", page=2)


@pytest.mark.parametrize("primary", [1, 2])
def test_pages_of_avif(primary):
    pixels = smooth(64, 64, 3)
    both = pyvips.Image.new_from_array(np.concatenate([pixels, pixels[::-1]]), interpretation="srgb").copy()
    both.set_type(pyvips.GValue.gint_type, "page-height", 64)
    blob = bytearray(both.heifsave_buffer(compression="av1", Q=95))
    numbers = re.findall(rb"infe.{4}(..)..av01", blob, re.DOTALL)  # of the images
    place = blob.index(b"pitm") + 8
    blob[place : place + 2] = numbers[primary - 1]
    default = pixels if primary == 1 else pixels[::-1]
    assert_read_as(bytes(blob), default, "1 more page was left out (--page)", most=9)
    assert_read_as(bytes(blob), pixels, page=1, most=9)
    assert_read_as(bytes(blob), pixels[::-1], page=2, most=9)
    assert_refused(bytes(blob), "has no page 3, only 2 pages", page=3)


def test_pages_of_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    heif = pillow_heif.from_pillow(Image.fromarray(smooth(64, 64, 3)))
    heif.add_from_pillow(Image.fromarray(smooth(64, 64, 3)[::-1].copy()))
    buffer = io.BytesIO()
    heif.save(buffer, quality=95)
    assert_read_as(buffer.getvalue(), smooth(64, 64, 3), "1 more page was left out (--page)", most=5)
    assert_read_as(buffer.getvalue(), smooth(64, 64, 3)[::-1], page=2, most=5)
    assert_refused(buffer.getvalue(), "has no page 3, only 2 pages", page=3)


def test_a_loop_of_pages_ends():
    blob = bytearray(tiff_file(({}, smooth()), ({}, smooth())))
    blob[-4:] = blob[4:8]
    assert colorize(open_photo(bytes(blob))).shape == (40, 56, 3)


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("kind", "bits"), [(8, 8), (8, 16), (9, 8), (9, 16), (10, 8), (10, 16)])
def test_lab_tiffs(kind, bits, order, alpha):
    rgb = smooth(channels=3)[::2, ::2] // 2 + 60
    lab = color.rgb_to_lab(rgb.transpose(2, 0, 1) / 255)
    light, a, b = lab
    if bits == 16 and kind == 8:
        planes = [light * 655.35, a * 256 % 65536, b * 256 % 65536]
    elif kind == 10:
        planes = [light * 2.55, (a + 85) * 1.5, (b + 75) * 1.275]
    else:
        planes = [light * 2.55, (a + 128 * (kind == 9)) % 256, (b + 128 * (kind == 9)) % 256]
    unit = 256 if bits == 16 and kind != 8 else 1
    planes.append(np.full_like(light, 255 if bits == 8 else 65535) / unit)
    stored = np.rint(np.stack(planes[: 4 if alpha else 3], -1) * unit).astype(f"u{bits // 8}")
    tags = {262: (3, [kind])} | ({338: (3, [2])} if alpha else {})
    photo = assert_read_as(tiff_file((tags, stored), order=order), rgb, most=1.5)
    assert photo.depth == bits
    assert photo.alpha == alpha
    assert np.abs(photo.pixels() / (257 if bits == 16 else 1) - rgb).max() < 8


@pytest.mark.parametrize("missing", range(5))
def test_a_directory_that_is_cut_short_at_the_end_of_a_file(missing, tmp_path):
    blob = tiff_file(({262: (3, [8])}, smooth(channels=3)))
    path = tmp_path / "scan.tif"
    path.write_bytes(blob[: len(blob) - missing])
    assert np.array_equal(open_photo(path).pixels(), open_photo(blob).pixels())
    assert path.read_bytes() == blob[: len(blob) - missing]


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", [0, 1])
def test_few_bits_a_channel(bits, photometric):
    levels = smooth()[..., 0].astype(int) * (2**bits - 1) // 255
    packed = np.packbits((levels[..., None] >> np.arange(bits)[::-1] & 1).reshape(40, -1).astype(np.uint8), axis=1)
    tags = {256: (3, [56]), 258: (3, [bits]), 262: (3, [photometric])}
    shown = levels if photometric else 2**bits - 1 - levels
    assert_read_as(tiff_file((tags, packed)), (shown * 255 / (2**bits - 1)).astype(np.uint8)[..., None], most=2)


@pytest.mark.parametrize("bits", [10, 12, 24, 64])
def test_other_bits_a_channel_are_refused(bits):
    tags = {258: (3, [bits])}
    assert_refused(tiff_file((tags, smooth(40, 400))), f"bytes: {bits} bits a channel are not supported; save it with")


def test_four_bits_of_rgb_and_rare_compressions_are_refused():
    assert_refused(
        tiff_file(({258: (3, [4] * 3), 262: (3, [2]), 277: (3, [3])}, smooth(40, 90))), "bits a channel are not"
    )
    assert_refused(tiff_file(({259: (3, [50000])}, smooth())), "ZSTD compression is not supported; save it with LZW")


@pytest.mark.parametrize("photometric", [1, 2, 6])
@pytest.mark.parametrize("tiled", [False, True])
def test_old_style_jpeg_is_refused_rather_than_blank(tiled, photometric):
    channels = 1 if photometric == 1 else 3
    tile = with_pillow(lively(64, 64, channels), "JPEG", **({} if channels == 1 else {"subsampling": 0}))
    stored = np.frombuffer(tile, np.uint8)[None]
    tags = {256: (3, [64]), 257: (3, [64]), 258: (3, [8] * channels), 259: (3, [6]), 262: (3, [photometric])}
    tags |= {277: (3, [channels]), 278: (3, [64]), 513: (4, [8]), 514: (4, [len(tile)])}
    if tiled:
        tags |= {322: (3, [64]), 323: (3, [64]), 324: (4, [8]), 325: (4, [len(tile)])}
    assert_refused(tiff_file((tags, stored)), "old-style JPEG in TIFF is not supported; convert it, for example")


@pytest.mark.parametrize("half", [1, 2])
def test_ycbcr_without_jpeg_is_converted(half):
    """Rows of Y with a Cb and a Cr for each pixel, or for each two by two."""
    y = lively(64, 64)[..., 0]
    units = y.reshape(64 // half, half, 64 // half, half).swapaxes(1, 2).reshape(64 // half, 64 // half, -1)
    stored = np.concatenate([units, np.full((*units.shape[:2], 1), 120, np.uint8)], -1)
    stored = np.concatenate([stored, np.full((*units.shape[:2], 1), 140, np.uint8)], -1)
    expected = np.asarray(
        Image.merge("YCbCr", [Image.fromarray(p) for p in (y, y * 0 + 120, y * 0 + 140)]).convert("RGB")
    )
    tags = {256: (3, [64]), 257: (3, [64]), 258: (3, [8] * 3), 262: (3, [6]), 277: (3, [3]), 278: (3, [64])}
    tags |= {530: (3, [half, half])}
    photo = assert_read_as(tiff_file((tags, stored)), expected, most=2)
    assert not photo.alpha
    assert_refused(tiff_file((tags | {259: (3, [5])}, stored)), "cannot be read")  # as LZW, it is damaged
    tiles = {322: (3, [64]), 323: (3, [64]), 324: (4, [8]), 325: (4, [stored.size])}
    assert_refused(tiff_file((tags | tiles, stored)), "YCbCr in tiles is not supported; convert it to RGB")


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_in_tiff_that_is_cut_short_is_refused(channels):
    image = pyvips.Image.new_from_array(lively(128, 128, channels))
    image = image.copy(interpretation="b-w" if channels == 1 else "srgb")
    blob = image.tiffsave_buffer(compression="jpeg", Q=95)
    assert_read_as(blob, pyvips.Image.tiffload_buffer(blob).numpy().reshape(128, 128, channels))
    middle = len(blob) // 2
    for damage in (b"\xff\xd9", bytes(1500)):
        assert_refused(blob[:middle] + damage + blob[middle + len(damage) :], "cannot be read .damaged or cut short")


TILES = {"tile": True, "tile_width": 64, "tile_height": 48}


def tiled_tiff(compression, pixels, **options):
    """A TIFF whose last tiles reach beyond the edges; and its entries of the places and of the sizes of tiles."""
    image = pyvips.Image.new_from_array(pixels).copy(interpretation="b-w" if pixels.shape[2] == 1 else "srgb")
    if compression == "ccittfax4":
        image, options["bitdepth"] = image > 100, 1
    blob = image.tiffsave_buffer(compression=compression, Q=95, **TILES, **options)
    layout = tiff.Layout(io.BytesIO(blob))
    entries = layout.read_entries(io.BytesIO(blob), layout.first)
    return blob, *({entry[0]: entry for entry in entries}[tag] for tag in (324, 325))


def patch_entry(blob, entry, index, value):
    """The file with another value in an array of numbers, and the value that was there."""
    _, kind, _, place = entry
    width = tiff.VALUE_SIZES[kind]
    start = int.from_bytes(place, "little") + index * width
    patched = blob[:start] + value.to_bytes(width, "little") + blob[start + width :]
    return patched, int.from_bytes(blob[start : start + width], "little")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("big", [False, True], ids=["classic", "bigtiff"])
@pytest.mark.parametrize("compression", ["jpeg", "lzw", "deflate", "packbits", "webp", "ccittfax4", "none"])
def test_a_tiff_with_damaged_tiles_is_refused(compression, big, channels, tmp_path):
    if channels != {"webp": 3, "ccittfax4": 1}.get(compression, channels):
        return
    blob, places, sizes = tiled_tiff(compression, lively(170, 200, channels), bigtiff=big)
    decoded = pyvips.Image.tiffload_buffer(blob).numpy().reshape(170, 200, channels)
    assert_read_as(blob, decoded)
    missing = [patch_entry(blob, sizes, index, 0)[0] for index in (1, 5, 15)]
    beyond, place = patch_entry(blob, places, 3, 10**9)
    missing.append(beyond)
    if compression not in ("none", "packbits"):  # which take any bytes for pixels
        missing.append(blob[: place + 20] + b"\xff\xd9" * 40 + blob[place + 100 :])
        missing.append(blob[:place] + bytes(900) + blob[place + 900 :])
    for damaged in missing:
        assert_refused(damaged, "bytes: cannot be read")
    (tmp_path / "scan.tif").write_bytes(missing[0])
    assert_refused(tmp_path / "scan.tif", "scan.tif: cannot be read")
    with pytest.raises(PhotoError, match="cannot be read"):
        open_photo(missing[0]).pixels()


@pytest.mark.parametrize("number", [0, 1, 2**16 - 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("tag", [256, 257, 322, 323])
def test_impossible_sizes_of_tiles_are_refused_or_read(tag, number):
    blob = tiled_tiff("deflate", lively(170, 200))[0]
    layout = tiff.Layout(io.BytesIO(blob))
    tags = [entry[0] for entry in layout.read_entries(io.BytesIO(blob), layout.first)]
    start = layout.first + layout.count.size + tags.index(tag) * layout.entry.size
    damaged = blob[:start] + struct.pack("<HHII", tag, 4, 1, number) + blob[start + layout.entry.size :]
    if (tag, number) in ((256, 1), (257, 1)):
        assert open_photo(damaged).pixels().shape == ((170, 1, 3) if tag == 256 else (1, 200, 3))
    else:
        assert_refused(damaged, "bytes: cannot be read")


def test_damaged_tiles_of_other_pages_do_not_matter():
    pixels = lively(170, 200)
    pages = pyvips.Image.new_from_array(np.concatenate([pixels, pixels[::-1]])).copy(interpretation="b-w")
    pages.set_type(pyvips.GValue.gint_type, "page-height", 170)
    blob = pages.tiffsave_buffer(compression="deflate", **TILES)
    layout = tiff.Layout(io.BytesIO(blob))
    sizes = next(entry for entry in layout.read_entries(io.BytesIO(blob), layout.first) if entry[0] == 325)
    damaged, _ = patch_entry(blob, sizes, 2, 0)
    assert_refused(damaged, "cannot be read")
    assert_read_as(damaged, pixels[::-1], page=2)


def test_a_transparent_photo_is_refused():
    pixels = np.concatenate([lively(), np.zeros((72, 88, 1), np.uint8)], -1)
    assert_refused(with_pillow(pixels, "PNG"), "every pixel is fully transparent; save it without an alpha channel")


@pytest.mark.parametrize("order", "<>")
def test_camera_raw_files_are_refused(order):
    dng = {50706: (1, [1, 4, 0, 0]), 254: (4, [1])}
    sensor = {262: (3, [32803]), 254: (4, [0])}
    with_sub = tiff_file((sensor, smooth()), ({254: (4, [1]), 330: (4, [0])}, smooth(10, 14)), order=order)
    first = with_sub[4:8]
    entry = struct.pack(order + "HHII", 330, 4, 1, 0)
    with_sub = with_sub.replace(entry, entry[:8] + first)
    last = struct.unpack(order + "I", with_sub[struct.unpack(order + "I", first)[0] + 2 + 12 * 10 :][:4])
    with_sub = with_sub[:4] + struct.pack(order + "I", *last) + with_sub[8:]  # the preview comes first
    cr2 = b"II*\0\x10\0\0\0CR\2\0" + bytes(40)
    for blob in (tiff_file((dng, smooth(10, 14)), order=order), with_sub, cr2):
        assert_refused(blob, "bytes: is a camera raw file, which is not supported; export it as TIFF or JPEG")
    assert_refused(b"FUJIFILMCCD-RAW 0201", "is a camera raw file")
    assert_refused(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "is a camera raw file")


@pytest.mark.parametrize("order", "<>")
def test_pixels_that_spell_the_sign_of_a_raw_file_are_read(order):
    for sign in (b"CR", b"CR\2\0"):
        pixels = smooth()
        pixels[0, : len(sign), 0] = list(sign)
        assert_read_as(tiff_file(({}, pixels), order=order), pixels)


# Other formats


def test_what_is_no_photo_is_refused_with_advice():
    for blob, match in (
        (b"8BPS\0\1" + bytes(20), "is a Photoshop file .PSD., which is not supported; save it as TIFF or PNG"),
        (b"\xff\x0a\x7f\xfe", "is a JPEG XL file, which is not supported; convert it"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "is a JPEG XL file"),
        (b"%PDF-1.7", "is a PDF, which is not supported; extract its images"),
        (b'<?xml version="1.0"?><svg/>', "is an SVG or XML file, not a photo; export it as PNG"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "is a video; export a frame"),
    ):
        assert_refused(blob, match)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_gif_and_bmp_need_no_extra(mode, monkeypatch):
    image = Image.fromarray(smooth(channels=3)).convert(mode)
    for kind in ("GIF", "BMP"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        expected = np.asarray(Image.open(buffer).convert("RGB"))
        with monkeypatch.context() as patch:
            patch.setitem(__import__("sys").modules, "PIL", None)
            photo = assert_read_as(buffer.getvalue(), expected)
        assert (photo.suffix, photo.depth, photo.alpha) == (".png", 8, False)


def test_bmp_of_every_direction_and_header():
    blob = with_pillow(smooth(channels=3), "BMP", dpi=(600, 300))
    density = open_photo(blob).reader.metadata.density.without_meters()
    assert (round(density.x), round(density.y)) == (600, 300)
    flipped = blob[:22] + struct.pack("<i", -40) + blob[26:]
    assert_read_as(flipped, smooth(channels=3)[::-1])
    os2 = b"BM" + bytes(8) + struct.pack("<IIHHHH", 26, 12, 56, 40, 1, 24) + blob[54:]
    assert_read_as(os2, smooth(channels=3))
    deep = np.concatenate([smooth(channels=3)[::-1, :, ::-1], np.zeros((40, 56, 1), np.uint8)], -1)
    assert_read_as(blob[:28] + struct.pack("<H", 32) + blob[30:54] + deep.tobytes(), smooth(channels=3))
    fifth = blob[:14] + struct.pack("<I", 124) + blob[18:54] + bytes(16) + b"DEBM" + bytes(64) + blob[54:]
    note = "the color profile was left aside: profiles of BMP are not supported"
    assert_read_as(fifth[:10] + struct.pack("<I", 138) + fifth[14:], smooth(channels=3), note)
    assert_refused(blob[:-300], "cannot be read .damaged or cut short")
    assert_refused(blob[:30], "cannot be read")


def bmp_file(bits, compression, pixels, profile=b""):
    """A BMP of 4 x 2 pixels, 300 pixels in an inch, with a header of the fifth version."""
    header = struct.pack("<IiiHHIIiiII", 124, 4, 2, 1, bits, compression, len(pixels), 11811, 11811, 0, 0)
    header += bytes(16) + b"DEBM" + bytes(52) + struct.pack("<II4x", 124 + len(pixels), len(profile))
    start = 14 + len(header) + (1024 if bits == 8 else 0)
    head = b"BM" + struct.pack("<I4xI", start + len(pixels) + len(profile), start) + header
    return head.ljust(start, b"\0") + pixels + profile


@pytest.mark.parametrize(
    ("bits", "compression", "pixels"),
    [(24, 0, bytes(range(24))), (16, 0, bytes(range(16))), (8, 1, b"\4\1\0\0\4\2\0\0\0\1")],
    ids=["24 bits", "16 bits", "run lengths"],
)
def test_bmp_keeps_its_metadata_whoever_decodes_it(bits, compression, pixels):
    blob = bmp_file(bits, compression, pixels, bytes(99))
    reader = open_photo(blob).reader
    assert (round(reader.metadata.density.without_meters().x), len(reader.notes)) == (300, 1)
    assert reader.notes == ["the color profile was left aside: profiles of BMP are not supported"]
    assert open_photo(blob + b"\0\r\n").reader.notes == reader.notes
    assert open_photo(blob + b"a trailer").reader.notes == [*reader.notes, NO_ATTACHMENTS]


def test_every_kind_of_pnm():
    gray, rgb = smooth(), smooth(channels=3)
    bits = gray > 127
    size = b"# a comment\n56 # another\n40\n"
    words = " ".join(map(str, rgb.ravel())).encode()
    deep = (rgb.astype(np.uint16) * 4).astype(">u2").tobytes()  # up to 1020
    light = color.srgb_to_linear(np.broadcast_to(gray / 255, (40, 56, 3)).transpose(2, 0, 1)).transpose(1, 2, 0)
    for blob, expected in (
        (b"P1\n" + size + b"\n".join(b"".join(b"01"[1 - v : 2 - v] for v in row) for row in bits[..., 0]), bits * 255),
        (b"P4\n" + size + np.packbits(~bits[..., 0], axis=1).tobytes(), bits * 255),
        (b"P2\n" + size + b"255\n" + " ".join(map(str, gray.ravel())).encode(), gray),
        (b"P3\n" + size + b"255\n" + words, rgb),
        (b"P5\n" + size + b"255\n" + gray.tobytes(), gray),
        (b"P6 " + size + b"1020\n" + deep, rgb),
        (b"Pf\n56 40\n-1.0\n" + light[::-1, :, 0].astype("<f4").tobytes(), gray),
        (b"PF\n56 40\n1.0\n" + light[::-1].astype(">f4").tobytes(), gray),
    ):
        photo = assert_read_as(blob, expected.astype(np.uint8))
        assert photo.depth == (16 if blob[:2] in (b"P6", b"Pf", b"PF") else 8)
        assert photo.suffix == ".png"
        assert_refused(blob[: len(blob) // 2], "cannot be read .damaged or cut short")
    assert_refused(b"P5\n0 0\n255\n", "cannot be read|not that of a photo")
    assert_refused(b"P5\n4 four", "cannot be read .damaged header")
    assert_refused(b"P2\n2 1\n255\n1 two", "cannot be read")
    assert_refused(b"P6\n100000 100000\n255\n", "100000 x 100000 pixels are more than the limit of 100000000 for PNM")


# Limits


def in_memory_files():
    gray = pyvips.Image.new_from_array(smooth()).copy(interpretation="b-w")
    return {
        "progressive JPEG": (gray.jpegsave_buffer(interlace=True), 2.5),
        "interlaced PNG": (gray.pngsave_buffer(interlace=True), 2.5),
        "WebP": (gray.webpsave_buffer(), 2.5),
        "GIF": (with_pillow(smooth(), "GIF"), 2.5),
        "BMP": (with_pillow(smooth(), "BMP"), 2.5),
        "AVIF": (gray.heifsave_buffer(compression="av1"), 5),
        "JPEG 2000": (with_pillow(smooth(), "JPEG2000"), 5),
    }


@pytest.mark.parametrize("kind", in_memory_files())
def test_the_limit_counts_the_memory_that_a_format_needs(kind):
    blob, cost = in_memory_files()[kind]
    needed = int(56 * 40 * cost)
    assert open_photo(blob, max_pixels=needed).width == 56
    reason = f"56 x 40 pixels are more than the limit of {int((needed - 1) / cost)} for {kind}, which is decoded in"
    assert_refused(blob, f"bytes: {reason} memory; to read it, use --max-pixels {needed}$", max_pixels=needed - 1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
def test_the_limit_of_files_decoded_by_rows(suffix):
    blob = pyvips.Image.new_from_array(smooth()).copy(interpretation="b-w").write_to_buffer(suffix)
    assert open_photo(blob, max_pixels=56 * 40).width == 56
    assert_refused(blob, "are more than the limit of 2239; to read it, use --max-pixels 2240$", max_pixels=2239)


def test_suffixes_of_all_formats_that_are_read():
    kinds = (formats.WRITABLE | formats.READ_ONLY).values()
    assert all(kind in kinds for kind in formats.FORMATS)
