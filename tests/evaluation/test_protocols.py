"""Protocols prepare photographs as they say and refuse what they cannot be followed with."""

import numpy as np
import pytest

from photochrom.evaluation.protocols import PROTOCOLS, Listing, Protocol, named, read, scaled

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (60, 90, 3), np.uint8)


def test_native_leaves_photographs_as_they_are_unless_they_are_large():
    assert named("native").prepare(PHOTO) is PHOTO
    assert named("native").prepare(np.zeros((1024, 1500, 3), np.uint8)).shape == (512, 750, 3)


@pytest.mark.parametrize("name", sorted(set(PROTOCOLS) - {"native"}))
def test_the_others_give_squares_of_256(name):
    made = named(name).prepare(PHOTO)
    assert (made.shape, made.dtype) == ((256, 256, 3), np.uint8)
    assert np.array_equal(named(name).prepare(made), made)


def test_the_square_is_the_largest_in_the_middle():
    square = Protocol("x", "", "crop", 60).prepare(PHOTO)
    assert np.array_equal(square, PHOTO[:, 15:75])


def test_area_is_the_exact_mean():
    halves = PHOTO.reshape(30, 2, 45, 2, 3).astype(float).mean((1, 3))
    assert np.abs(scaled(PHOTO, 30, 45, "area") - halves).max() <= 0.5
    ramp = np.arange(9, dtype=np.uint8)[:, None, None].repeat(3, 2) * 20
    assert scaled(ramp, 2, 1, "area")[:, 0, 0].tolist() == [
        round((0 + 20 + 40 + 60 + 80 / 2) / 4.5),
        round((40 + 100 + 120 + 140 + 160) / 4.5),
    ]


def test_linear_interpolates_between_the_two_nearest():
    line = np.array([0, 100], np.uint8)[None, :, None].repeat(3, 2)
    assert scaled(line, 1, 4, "linear")[0, :, 0].tolist() == [0, 25, 75, 100]
    four = np.array([0, 10, 20, 30], np.uint8)[None, :, None].repeat(3, 2)
    assert scaled(four, 1, 2, "linear")[0, :, 0].tolist() == [5, 25]


def test_flat_photographs_stay_flat():
    flat = np.full((37, 53, 3), 97, np.uint8)
    assert all((named(name).prepare(flat) == 97).all() for name in PROTOCOLS)


def test_an_unknown_protocol_names_the_known():
    with pytest.raises(ValueError, match="protocol 'fid': choose one of native, seed5k"):
        named("fid")
    with pytest.raises(ValueError, match="square 'round'"):
        Protocol("x", "", "round")


def test_photographs_told_by_number_are_checked():
    names = ["val/ILSVRC2012_val_00000001", "ILSVRC2012_val_00005000"]
    assert named("ddcolor-val5k").strangers(names) == []
    others = ["ILSVRC2012_val_00005001", "ILSVRC2012_val_00000000", "cat"]
    assert named("ddcolor-val5k").strangers([*names, *others]) == others
    assert named("native").strangers(others) == []


def test_lists_are_checked(tmp_path):
    listing = Listing("names.txt", 3, ("07", "03"))
    with pytest.raises(
        ValueError, match=r"names\.txt is missing \(3 names, one a line\): give its folder with --lists"
    ):
        read(listing, None)
    with pytest.raises(ValueError, match="is missing"):
        read(listing, tmp_path)
    (tmp_path / "names.txt").write_text("val_07.JPEG\nval_03.JPEG\nval_05.JPEG\n")
    assert read(listing, tmp_path) == ["val_07", "val_03", "val_05"]
    (tmp_path / "names.txt").write_text("val_03.JPEG\nval_07.JPEG\nval_05.JPEG\n")
    with pytest.raises(ValueError, match=r"val_03\.JPEG where 07 belongs: this is another list, or another order"):
        read(listing, tmp_path)
    (tmp_path / "names.txt").write_text("val_07.JPEG\n")
    with pytest.raises(ValueError, match="1 names, not 3"):
        read(listing, tmp_path)
