"""Contact sheets hold every picture in its place."""

import numpy as np
import pyvips

from photochrom.evaluate import sheet


def flat(value, shape=(50, 80)):
    return np.full((3, *shape), value, np.float32)


def test_each_picture_is_in_its_place(tmp_path):
    path = tmp_path / "sheet.png"
    sheet.write([(flat(0.0), flat(0.5), flat(1.0, (90, 30)))] * 5, path)
    picture = pyvips.Image.new_from_file(str(path))
    step = sheet.TILE + sheet.GAP
    assert (picture.width, picture.height) == (12 * step - sheet.GAP, 2 * step - sheet.GAP)
    assert [picture(step * i + 80, 80)[0] for i in range(3)] == [0, 128, 255]
