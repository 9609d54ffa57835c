"""Damaged files of all formats: each is refused in a sentence or colorized, without crash, hang or blank output.

`python tests/imaging/test_fuzz_photos.py FIRST LAST [--keep FOLDER]` runs some of them by their numbers, and keeps the
files of those that fail.
"""

import argparse
import faulthandler
import io
import os
import struct
import subprocess
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import pyvips
from PIL import Image

from photochrom._processes import available_processors
from photochrom.imaging import tiff
from photochrom.imaging.photo import Colorized, PhotoError, Provenance, open_photo

FILES = 20_400
PART = 1000  # files that a process handles, so that what one of them leaves behind ends with it
SECONDS = 120  # most for one file; it takes some milliseconds, on a loaded machine more
MAX_PIXELS = 1_000_000
WIDTH, HEIGHT = 32, 25
AB = np.full((2, 4, 4), 0.2, np.float32)
PROVENANCE = Provenance("default", "1", 0)
EXTREMES = (0, 1, 2**16 - 1, 2**31, 2**32 - 1)  # of counts, values and offsets in directories
NUMBERS = (0, 1, 2, 3, 4, 6, 7, 8, 12, 16, 32, 127, 128, 255, 256, 32767, 32768, 65535, 0x7FFFFFFF, 0xFFFFFFFF)


def make_pixels(channels=1, dtype=np.uint8):
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    planes = np.stack([(x + y) / 55, 1 - y / 25, x / 32, np.full((HEIGHT, WIDTH), 0.9)][:channels], -1)
    planes = np.clip(planes + np.random.default_rng(0).normal(0, 0.05, planes.shape), 0, 1)
    return planes.astype(dtype) if dtype == np.float32 else np.rint(planes * np.iinfo(dtype).max).astype(dtype)


def vips_image(channels=1, dtype=np.uint8):
    deep = dtype == np.uint16
    name = {1: "grey16" if deep else "b-w", 4: "cmyk"}.get(channels, "rgb16" if deep else "srgb")
    image = pyvips.Image.new_from_array(make_pixels(channels, dtype)).copy(interpretation=name)
    if channels != 4:
        image.set_type(pyvips.GValue.blob_type, "xmp-data", b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
        image.set_type(pyvips.GValue.gstr_type, "exif-ifd0-Artist", "Somebody (Somebody, ASCII, 9 components)")
        image.set_type(pyvips.GValue.gint_type, "orientation", 6)
    return image


def pillow_bytes(kind, channels=1, mode=None, frames=1, **options):
    image = Image.fromarray(make_pixels(channels).squeeze())
    image = image.convert(mode) if mode else image
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": [image] * (frames - 1)} if frames > 1 else {}
    image.save(buffer, kind, **more, **options)
    return buffer.getvalue()


def make_corpus():
    """A small file of every kind that is read."""
    gray, rgb, deep = vips_image(), vips_image(3), vips_image(3, np.uint16)
    files = {
        "gray.jpg": gray.jpegsave_buffer(Q=90, profile="srgb"),
        "progressive.jpg": rgb.jpegsave_buffer(interlace=True),
        "restarts.jpg": pillow_bytes("JPEG", 3, restart_marker_blocks=2, comment=b"a caption"),
        "cmyk.jpg": vips_image(4).jpegsave_buffer(),
        "no-end.jpg": gray.jpegsave_buffer()[:-2],
        "gray.png": gray.pngsave_buffer(),
        "interlaced.png": deep.pngsave_buffer(interlace=True),
        "palette.png": pillow_bytes("PNG", 3, "P", transparency=3),
        "alpha.png": pillow_bytes("PNG", 4),
        "lzw.tif": rgb.tiffsave_buffer(compression="lzw", predictor="horizontal"),
        "deflate.tif": deep.tiffsave_buffer(compression="deflate", tile=True, tile_width=16, tile_height=16),
        "jpeg.tif": rgb.tiffsave_buffer(compression="jpeg"),
        "tiles.tif": rgb.tiffsave_buffer(compression="jpeg", tile=True, tile_width=16, tile_height=16),
        "big.tif": gray.tiffsave_buffer(bigtiff=True, profile="srgb"),
        "bilevel.tif": pillow_bytes("TIFF", 1, "1", compression="group4"),
        "lab.tif": pillow_bytes("TIFF", 3, "RGB").replace(
            b"\x06\x01\x03\0\1\0\0\0\2\0", b"\x06\x01\x03\0\1\0\0\0\x08\0"
        ),
        "float.tif": vips_image(1, np.float32).tiffsave_buffer(),
        "pages.tif": pillow_bytes("TIFF", 1, frames=3),
        "cmyk.tif": vips_image(4).tiffsave_buffer(),
        "lossy.webp": rgb.webpsave_buffer(),
        "lossless.webp": gray.webpsave_buffer(lossless=True),
        "frames.webp": pillow_bytes("WEBP", 3, frames=2),
        "photo.avif": rgb.heifsave_buffer(compression="av1", effort=0),
        "photo.jp2": pillow_bytes("JPEG2000", 3),
        "photo.gif": pillow_bytes("GIF", 1),
        "frames.gif": pillow_bytes("GIF", 3, frames=2),
        "photo.bmp": pillow_bytes("BMP", 3),
        "palette.bmp": pillow_bytes("BMP", 1, "P"),
        "bits.bmp": pillow_bytes("BMP", 1, "1"),
        "photo.pgm": pillow_bytes("PPM", 1),
        "photo.ppm": pillow_bytes("PPM", 3),
        "photo.pbm": pillow_bytes("PPM", 1, "1"),
        "words.pgm": b"P2\n3 2\n9\n1 2 3 4 5 6\n",
        "comments.pgm": b"P5\n# a caption\n32 25\n255\n" + make_pixels(1).tobytes(),
        "photo.pfm": b"Pf\n32 25\n-1\n" + make_pixels(1, np.float32).tobytes(),
    }
    try:
        import pillow_heif
    except ImportError:
        return files
    buffer = io.BytesIO()
    pillow_heif.from_pillow(Image.fromarray(make_pixels(3))).save(buffer)
    return files | {"photo.heic": buffer.getvalue()}


def cut(data, rng):
    return data[: rng.integers(len(data))]


def flip_bits(data, rng):
    places = rng.integers(len(data), size=rng.integers(1, 9))
    for place in places:
        data[place] ^= 1 << rng.integers(8)
    return data


def edit_field(data, rng):
    """A number of 1, 2 or 4 bytes becomes one that decoders may stumble over, more often near the start."""
    size = int(rng.choice([1, 2, 4]))
    place = rng.integers(max(1, min(len(data), int(rng.choice([64, 512, len(data)]))) - size))
    number = int(rng.choice(NUMBERS)) % 256**size
    data[place : place + size] = number.to_bytes(size, str(rng.choice(["little", "big"])))
    return data


def edit_directory(data, rng):
    """A count, value or offset in a directory of TIFF, or of EXIF in any file, becomes an extreme one."""
    starts = [data.find(head) for head in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+") if head in data]
    if not starts:
        return edit_field(data, rng)
    base = min(starts)
    file = io.BytesIO(bytes(data[base:]))
    try:
        layout = tiff.Layout(file)
        entries = layout.read_entries(file, layout.first)
    except (ValueError, struct.error, OverflowError):
        return data  # damaged already
    if not entries:
        return data
    index, number = rng.integers(len(entries)), int(rng.choice(EXTREMES))
    tag, kind, count, value = entries[index]
    if rng.random() < 0.3:
        count = number
    elif kind == tiff.SHORT and count == 1 and rng.random() < 0.5:
        value = struct.pack(layout.order + "H", number % 2**16).ljust(len(value), b"\0")
    else:
        kind = tiff.LONG if kind == tiff.SHORT and count == 1 else kind
        value = struct.pack(layout.order + "I", number).ljust(len(value), b"\0")
    layout.entry.pack_into(
        data, base + layout.first + layout.count.size + index * layout.entry.size, tag, kind, count, value
    )
    return data


def swap_blocks(data, rng):
    size = rng.integers(1, max(2, len(data) // 4))
    first, second = rng.integers(max(1, len(data) - size), size=2)
    data[first : first + size], data[second : second + size] = data[second : second + size], data[first : first + size]
    return data


def fill_block(data, rng):
    size = int(rng.integers(1, max(2, len(data) // 4)))
    place = rng.integers(len(data))
    data[place : place + size] = rng.bytes(size) if rng.random() < 0.5 else bytes([rng.choice([0, 255])]) * size
    return data


def repeat_or_drop_block(data, rng):
    start, stop = sorted(rng.integers(len(data), size=2))
    return data[:stop] + data[start:] if rng.random() < 0.5 else data[:start] + data[stop:]


CHANGES = (cut, flip_bits, edit_field, edit_field, edit_directory, swap_blocks, fill_block, repeat_or_drop_block)


def damaged_file(corpus, number):
    """The name, bytes and changes of the file with this number."""
    rng = np.random.default_rng(number)
    name = sorted(corpus)[number % len(corpus)]
    data, changes = bytearray(corpus[name]), []
    for _ in range(1 if rng.random() < 0.7 else 3):
        change = CHANGES[rng.integers(len(CHANGES))]
        if data:
            data = change(data, rng)
            changes.append(change)
    return name, bytes(data), changes


def has_picture(pixels):
    """Whether colors (h, w, c) are neither all the same nor all transparent."""
    return len(pixels) and bool(np.ptp(pixels[..., :3]) > 0) and (pixels.shape[2] != 4 or bool(pixels[..., 3].any()))


def pillow_sees_picture(data):
    try:
        return has_picture(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))
    except Exception:
        return False


def check(corpus, number, folder):
    """Raises AssertionError, or any error but PhotoError, for a fault."""
    name, data, changes = damaged_file(corpus, number)
    try:
        photo = open_photo(data, MAX_PIXELS, name)
        photo.gray(32)
        suffix = photo.suffix if number % 4 == 0 else ".png"
        if photo.alpha and suffix == ".jpg":
            suffix = ".png"
        path = Colorized(photo, AB, PROVENANCE, threads=1).save(folder / f"{number}{suffix}")
    except PhotoError as error:
        message = str(error)
        assert message.startswith(f"{name}: "), message
        assert "\n" not in message, message
        assert not list(folder.iterdir()), "a file is left"
        return
    image = pyvips.Image.new_from_buffer(path.read_bytes(), "", fail_on="error")
    path.unlink()
    pixels = image.numpy().reshape(image.height, image.width, -1)
    assert (image.width, image.height) == (photo.width, photo.height), "another size"
    assert has_picture(pixels) or not pillow_sees_picture(data), "blank output"
    if changes == [cut]:
        whole = open_photo(corpus[name], MAX_PIXELS, name).pixels()
        assert np.abs(photo.pixels().astype(int) - whole).max() == 0, "half a picture"


def run(first, last, keep):
    """Checks files, printing the number of each before and the fault after it; ends the process at a hang."""
    corpus = make_corpus()
    for number in range(first, last):
        print(number, flush=True)
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        with tempfile.TemporaryDirectory() as folder:
            try:
                check(corpus, number, Path(folder))
            except Exception as error:
                name, data, changes = damaged_file(corpus, number)
                what = " ".join(change.__name__ for change in changes)
                where = traceback.extract_tb(error.__traceback__)[-1]
                reason = " ".join(str(error).split())[:200]
                print(f"FAULT {number} {name} {what}: {type(error).__name__}: {reason} ({where.name})", flush=True)
                if keep:
                    (Path(keep) / f"{number}-{name}").write_bytes(data)


def faults_of_part(first):
    """Runs a part in processes of its own and returns the faults; a crash or hang is one."""
    environment = {**os.environ, "VIPS_CONCURRENCY": "1", "OMP_NUM_THREADS": "1"}
    faults, last = [], min(first + PART, FILES)
    while first < last:
        command = [sys.executable, __file__, str(first), str(last)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        lines = done.stdout.splitlines()
        faults += [line for line in lines if line.startswith("FAULT")]
        numbers = [int(line) for line in lines if line.isdecimal()]
        first = max(numbers, default=last) + 1
        if done.returncode:
            faults.append(f"CRASH or hang, exit code {done.returncode}, at {first - 1}: {done.stderr[-2000:]}")
    return faults


@pytest.mark.slow
def test_damaged_files_are_refused_or_colorized():
    with ThreadPoolExecutor(available_processors()) as pool:
        faults = [fault for part in pool.map(faults_of_part, range(0, FILES, PART)) for fault in part]
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(faults[:40])


def test_some_damaged_files(tmp_path):
    corpus = make_corpus()
    for number in range(0, FILES, FILES // (3 * len(corpus)) + 1):
        check(corpus, number, tmp_path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("last", type=int)
    parser.add_argument("--keep")
    options = parser.parse_args()
    run(options.first, options.last, options.keep)
