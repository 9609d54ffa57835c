"""Photographs measured one by one, kept, taken up again, and never mixed up."""

import numpy as np
import pytest

from few import FewNetworks, picture
from photochrom.core.color import rgb_to_lab
from photochrom.evaluation import measure as module
from photochrom.evaluation import metrics
from photochrom.evaluation.measure import Photograph, Row, baselines, codes, measure, planes, survey
from photochrom.evaluation.protocols import NATIVE, Protocol

SQUARE = Protocol("square", "", "crop", 16)


def tables(photographs, rows, networks, tmp_path, protocol=NATIVE):
    seen = survey(photographs, protocol, tmp_path, {})
    steps = list(measure(photographs, [*baselines(seen), *rows], protocol, networks, seen, tmp_path))
    assert [done for done, _ in steps[:-1]] == [32, 64, 70][: len(steps) - 1]
    return steps[-1][1]


def test_columns_are_the_figures_of_each_photograph(photographs, faded, networks, tmp_path):
    found = tables(photographs, [faded], networks, tmp_path)
    assert set(found) == {"gray", "mean colour", "truth", "faded"}
    for place in (0, 33, 69):
        truth = planes(picture(place))
        ours = planes(picture(place) // 2 + 60)
        assert found["faded"]["psnr"][place] == pytest.approx(metrics.psnr(ours, truth))
        assert found["faded"]["ssim"][place] == pytest.approx(metrics.ssim(ours, truth))
        np.testing.assert_allclose(found["faded"]["features/few"][place], ours.mean((1, 2)), rtol=1e-5)
    assert not found["truth"]["ab-error"].any()
    assert (found["truth"]["class-agreement-few"] == 1).all()
    np.testing.assert_allclose(found["gray"]["chroma"], 0, atol=0.02)
    chroma = [np.hypot(*rgb_to_lab(planes(picture(i)))[1:]).mean() for i in range(70)]
    np.testing.assert_allclose(found["gray"]["ab-error"], chroma, atol=0.02)
    assert all(len(column) == 70 for column in found["faded"].values())
    np.testing.assert_allclose(found["truth"]["bins"].sum(1), 1)


def test_the_mean_colour_is_that_of_all_photographs(photographs, networks, tmp_path):
    seen = survey(photographs, NATIVE, tmp_path, {})
    assert seen.mean_ab == pytest.approx(
        np.mean([rgb_to_lab(planes(picture(i)))[1:].mean((1, 2)) for i in range(70)], 0)
    )
    mean = baselines(seen)[1].paint(photographs[0], np.full((8, 8, 3), 128, np.uint8))[0]
    assert rgb_to_lab(planes(mean))[1:, 0, 0] == pytest.approx(seen.mean_ab, abs=1)


def test_several_pictures_have_a_spread_and_an_oracle(photographs, faded, networks, tmp_path):
    found = tables(photographs, [faded], networks, tmp_path)["faded"]
    assert (found["oracle-ab-error"] <= found["ab-error"] + 1e-9).all()
    first, second = picture(5) // 2 + 60, picture(5) // 3 + 80
    assert found["diversity-lpips-few"][5] == pytest.approx(np.abs(first - second.astype(float)).mean() / 255)
    alone = Row("alone", "alone", lambda photograph, truth: [truth])
    assert not any(
        name.startswith(("oracle", "diversity")) for name in tables(photographs, [alone], networks, tmp_path)["alone"]
    )


def test_what_is_measured_is_not_measured_again(photographs, faded, networks, tmp_path):
    first = tables(photographs, [faded], networks, tmp_path)
    calls = FewNetworks.calls
    again = tables(photographs, [faded], networks, tmp_path)
    assert FewNetworks.calls == calls
    assert all(np.array_equal(first["faded"][name], again["faded"][name]) for name in first["faded"])
    other = Row("faded", "another key", lambda photograph, truth: [truth])
    assert not np.array_equal(tables(photographs, [other], networks, tmp_path)["faded"]["mse"], first["faded"]["mse"])


def test_a_run_that_was_stopped_goes_on(photographs, faded, networks, tmp_path):
    seen = survey(photographs, NATIVE, tmp_path, {})
    rows = [*baselines(seen), faded]
    going = measure(photographs, rows, NATIVE, networks, seen, tmp_path)
    next(going)
    going.close()
    calls = FewNetworks.calls
    resumed = list(measure(photographs, rows, NATIVE, networks, seen, tmp_path))[-1][1]
    assert FewNetworks.calls == calls + 70 - 32
    whole = tables(photographs, [faded], networks, tmp_path / "elsewhere")
    assert all(np.array_equal(resumed["faded"][name], whole["faded"][name]) for name in whole["faded"])


def test_other_photographs_protocols_and_networks_are_kept_apart(photographs, networks, tmp_path):
    digests = {
        survey(photographs, NATIVE, tmp_path, {}).key,
        survey(photographs, SQUARE, tmp_path, {}).key,
        survey(photographs[1:], NATIVE, tmp_path, {}).key,
        survey([Photograph("p0", 99, photographs[0].read)], NATIVE, tmp_path, {}).key,
    }
    assert len(digests) == 4
    seen = survey(photographs, NATIVE, tmp_path, {})
    rows = baselines(seen)
    assert len({module._place(tmp_path, seen, networks, row) for row in rows}) == 3
    networks.key = "others"
    assert module._place(tmp_path, seen, networks, rows[0]) != module._place(tmp_path, seen, FewNetworks(), rows[0])


def test_a_damaged_file_of_the_cache_is_made_anew(photographs, faded, networks, tmp_path):
    whole = tables(photographs, [faded], networks, tmp_path)
    for path in (*tmp_path.rglob("*.npz"), *tmp_path.rglob("survey.json")):
        path.write_bytes(path.read_bytes()[: 100 if path.stem == "0000032" else 0])
    again = tables(photographs, [faded], networks, tmp_path)
    assert all(np.array_equal(again["faded"][name], whole["faded"][name]) for name in whole["faded"])


def test_protocols_prepare_truth_and_pictures(photographs, networks, tmp_path):
    large = Row("large", "large", lambda photograph, truth: [picture(photograph.crc, (48, 64))])
    found = tables(photographs, [large], networks, tmp_path, SQUARE)
    assert found["large"]["psnr"].mean() > 35
    with pytest.raises(ValueError, match="large: p0 is 64 x 48 pixels, its truth 32 x 24"):
        tables(photographs, [large], networks, tmp_path)


def test_what_cannot_be_read_is_named(photographs, tmp_path):
    def damaged():
        raise ValueError("p1: cannot be read")

    unread = {}
    survey([photographs[0], Photograph("p1", 1, damaged)], NATIVE, tmp_path, unread)
    assert unread == {"p1": "p1: cannot be read"}
    again = {}
    survey([photographs[0], Photograph("p1", 1, photographs[1].read)], NATIVE, tmp_path, again)
    assert again == {}  # it was mended
    with pytest.raises(ValueError, match="no photographs to measure on"):
        survey([Photograph("p1", 1, damaged)], NATIVE, tmp_path / "other", {})


def test_what_is_too_small_is_named(photographs, tmp_path):
    unread = {}
    survey([photographs[0], Photograph("tiny", 1, lambda: picture(1, (10, 40)))], NATIVE, tmp_path, unread)
    assert unread == {"tiny": "tiny: 40 x 10 pixels, too small to measure: 11 a side are needed"}


def test_codes_and_planes_are_inverse():
    assert np.array_equal(codes(planes(picture(0))), picture(0))
    assert module.CHUNK < 70  # or the tests above would hold only one file
