"""Memory does not grow with the size of the photo."""

import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import pyvips

from photochrom.imaging import strips

COLORIZE = """
import sys
import threading
from pathlib import Path
import numpy as np
from photochrom.imaging.photo import Colorized, Provenance, open_photo
photo = open_photo(sys.argv[1])
photo.gray(256)
Colorized(photo, np.full((2, 256, 352), 0.1, np.float32), Provenance("none", "0", 0)).save(sys.argv[2])
status = Path("/proc/self/status").read_text()  # ru_maxrss would count the parent, which holds torch
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("orientation", [1, 3, 6])
@pytest.mark.parametrize("suffix", [".jpg", ".tif"])
def test_100_megapixels_need_less_than_350_megabytes(tmp_path, orientation, suffix):
    scan = pyvips.Image.perlin(11600, 8700, cell_size=512, seed=1).linear(90, 128).cast("uchar")
    scan = scan.copy(interpretation="b-w")
    scan.set_type(pyvips.GValue.gint_type, "orientation", orientation)
    scan.write_to_file(str(tmp_path / f"scan{suffix}"))
    paths = [str(tmp_path / f"{name}{suffix}") for name in ("scan", "out")]
    done = subprocess.run([sys.executable, "-c", COLORIZE, *paths], check=True, capture_output=True)
    assert float(done.stdout) < 350
    out = pyvips.Image.new_from_file(paths[1])
    assert (out.width, out.height) == ((8700, 11600) if orientation == 6 else (11600, 8700))


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("rows", [1, 32, 300, 1000])
@pytest.mark.parametrize(("threads", "whole"), [(1, 0), (1, 1 << 20), (3, 1 << 20)])
def test_strips_keep_every_pixel(depth, rows, threads, whole, monkeypatch):
    monkeypatch.setattr(strips, "WHOLE_PIXELS", whole)
    pixels = np.random.default_rng(0).integers(0, 1 << depth, (301, 457, 3)).astype(f"u{depth // 8}")
    strips_done, thread_ids = [], set()

    def negative(strip, top):
        strips_done.append((top, len(strip)))
        thread_ids.add(threading.get_ident())
        return ~strip

    with strips.process_strips(pyvips.Image.new_from_array(pixels), rows, negative, depth, threads) as result:
        np.testing.assert_array_equal(result.numpy(), ~pixels)
    assert sorted(strips_done) == [(top, min(rows, 301 - top)) for top in range(0, 301, rows)]
    assert len(thread_ids) <= threads


def test_after_an_error_no_further_strip_is_begun():
    begun = []

    def broken(strip, top):
        begun.append(top)
        if top == 0:
            raise ValueError("no colors")
        time.sleep(0.2)
        return np.repeat(strip, 3, -1)

    image = pyvips.Image.black(640, 640)
    with pytest.raises(ValueError, match="no colors"), strips.process_strips(image, 16, broken, 8, 1) as result:
        result.write_to_memory()
    assert len(begun) <= 2  # the second may begin before the error is read


def test_an_error_in_a_strip_is_raised_and_a_stream_can_be_left():
    def broken(strip, top):
        if top > 100:
            raise ValueError("no colors")
        return np.repeat(strip, 3, -1)

    image = pyvips.Image.black(640, 640)
    with pytest.raises(ValueError, match="no colors"), strips.process_strips(image, 16, broken, 8) as result:
        result.write_to_memory()
    with strips.process_strips(image, 16, lambda strip, top: np.repeat(strip, 3, -1), 8) as result:
        result.crop(0, 0, 640, 16).write_to_memory()  # the rest is never read
