"""Protocols prepare images as documented and refuse lists and photos of other sets."""

import numpy as np
import pytest

from photochrom.evaluation.inputs import select_images
from photochrom.evaluation.protocols import PROTOCOLS, NameList, Protocol, find_protocol, resize

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (60, 90, 3), np.uint8)


def test_native_keeps_images_unless_they_are_large():
    assert find_protocol("native").prepare(PHOTO) is PHOTO
    assert find_protocol("native").prepare(np.zeros((1024, 1500, 3), np.uint8)).shape == (512, 750, 3)


@pytest.mark.parametrize("name", sorted(set(PROTOCOLS) - {"native"}))
def test_other_protocols_give_squares(name):
    prepared = find_protocol(name).prepare(PHOTO)
    side = 64 if name == "square-64" else 256
    assert (prepared.shape, prepared.dtype) == ((side, side, 3), np.uint8)
    assert np.array_equal(find_protocol(name).prepare(prepared), prepared)


def test_crop_takes_the_largest_central_square():
    square = Protocol("x", "", "crop", 60).prepare(PHOTO)
    assert np.array_equal(square, PHOTO[:, 15:75])


def test_area_scaling_is_the_exact_mean():
    halves = PHOTO.reshape(30, 2, 45, 2, 3).astype(float).mean((1, 3))
    assert np.abs(resize(PHOTO, 30, 45, "area") - halves).max() <= 0.5
    ramp = np.arange(9, dtype=np.uint8)[:, None, None].repeat(3, 2) * 20
    assert resize(ramp, 2, 1, "area")[:, 0, 0].tolist() == [
        round((0 + 20 + 40 + 60 + 80 / 2) / 4.5),
        round((40 + 100 + 120 + 140 + 160) / 4.5),
    ]


def test_linear_scaling_interpolates_between_the_two_nearest():
    line = np.array([0, 100], np.uint8)[None, :, None].repeat(3, 2)
    assert resize(line, 1, 4, "linear")[0, :, 0].tolist() == [0, 25, 75, 100]
    four = np.array([0, 10, 20, 30], np.uint8)[None, :, None].repeat(3, 2)
    assert resize(four, 1, 2, "linear")[0, :, 0].tolist() == [5, 25]


def test_flat_images_stay_flat():
    flat = np.full((37, 53, 3), 97, np.uint8)
    assert all((find_protocol(name).prepare(flat) == 97).all() for name in PROTOCOLS)


def test_an_unknown_protocol_is_refused_with_the_choices():
    with pytest.raises(ValueError, match="protocol 'fid': choose one of native, square-64, seed5k"):
        find_protocol("fid")
    with pytest.raises(ValueError, match="unknown square 'round'"):
        Protocol("x", "", "round")


def test_numbers_in_names_are_checked():
    names = ["val/ILSVRC2012_val_00000001", "ILSVRC2012_val_00005000"]
    assert find_protocol("ddcolor-val5k").names_outside(names) == []
    others = ["ILSVRC2012_val_00005001", "ILSVRC2012_val_00000000", "cat"]
    assert find_protocol("ddcolor-val5k").names_outside([*names, *others]) == others
    assert find_protocol("native").names_outside(others) == []


def test_name_lists_are_checked(tmp_path):
    names_file = NameList("names.txt", 3, ("07", "03"))
    images = dict.fromkeys(["a/val_05", "b/val_03", "b/val_07", "val_01"])
    with pytest.raises(
        ValueError, match=r"names\.txt is missing \(3 names, one a line\): give its folder with --lists"
    ):
        select_images(images, names_file, None)
    with pytest.raises(ValueError, match="is missing"):
        select_images(images, names_file, tmp_path)
    (tmp_path / "names.txt").write_text("val_07.JPEG\nval_03.JPEG\nval_05.JPEG\n")
    assert list(select_images(images, names_file, tmp_path)) == ["b/val_07", "b/val_03", "a/val_05"]
    del images["a/val_05"]
    with pytest.raises(ValueError, match=r"names\.txt: not among the photos: val_05"):
        select_images(images, names_file, tmp_path)
    (tmp_path / "names.txt").write_text("val_03.JPEG\nval_07.JPEG\nval_05.JPEG\n")
    with pytest.raises(ValueError, match=r"val_03\.JPEG instead of 07: this is another list, or another order"):
        select_images(images, names_file, tmp_path)
    (tmp_path / "names.txt").write_text("val_07.JPEG\n")
    with pytest.raises(ValueError, match="1 names instead of 3"):
        select_images(images, names_file, tmp_path)
