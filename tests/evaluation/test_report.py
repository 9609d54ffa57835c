"""Reports hold what was measured, in the documented layout, and say what is wrong with it."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from few import FewNetworks, picture
from photochrom.evaluation import cost, metrics, page, report
from photochrom.evaluation.measure import Photograph, Row, baselines, measure, survey
from photochrom.evaluation.protocols import NATIVE, PROTOCOLS
from photochrom.inference.contact_sheet import GAP, TILE, sheet


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    photographs = [Photograph(f"p{i}", i, lambda i=i: picture(i)) for i in range(40)]
    seen = survey(photographs, NATIVE, store, {})
    rows = [
        Row("half", "half", lambda photograph, truth: [truth // 2 + 60]),
        Row("<third>", "third", lambda photograph, truth: [truth // 3 + 80]),
    ]
    return list(measure(photographs, [*baselines(seen), *rows], NATIVE, FewNetworks(), seen, store))[-1][1]


@pytest.fixture(scope="module")
def made(tables):
    warnings = []
    rows = report.figures(tables, None, False, warnings)
    data = {"sources": ["photos.zip"], "digest": "0123"}
    comparisons = report.compared(tables)
    cost_of = {"half": {"parameters M": 1.5}}
    return report.Report(NATIVE, 40, data, rows, comparisons, warnings, "photochrom evaluate", "1", cost_of)


def test_gray_and_truth_bound_the_figures(made):
    rows = {name: {m: f.value for m, f in row.items()} for name, row in made.rows.items()}
    assert rows["gray"]["ab-error-to-gray"] == rows["truth"]["colorfulness-to-truth"] == rows["truth"]["auc"] == 1
    assert rows["truth"]["ab-error"] == rows["truth"]["delta-colorfulness"] == 0
    assert rows["truth"]["fd-few"] == pytest.approx(0, abs=1e-12)
    assert rows["gray"]["colorfulness"] == pytest.approx(0, abs=0.05)
    assert rows["truth"]["ab-overlap"] == pytest.approx(1)
    assert rows["half"]["delta-colorfulness"] == pytest.approx(
        rows["truth"]["colorfulness"] - rows["half"]["colorfulness"]
    )
    assert all(f.low <= f.value <= f.high for f in made.rows["half"].values() if f.low is not None)


def test_the_layout_of_the_json_is_the_documented(made):
    said = json.loads(report.as_json(made))
    assert (said["protocol"], said["n"], said["data"]["sources"]) == ("native", 40, ["photos.zip"])
    assert list(said["rows"]) == ["gray", "mean colour", "truth", "half", "<third>"]
    assert all(set(f) <= {"value", "low", "high", "note"} for row in said["rows"].values() for f in row.values())
    assert said["rows"]["half"]["psnr"]["value"] == made.rows["half"]["psnr"].value
    assert said["comparisons"][0]["models"] == ["half", "<third>"]
    assert set(said) == {"protocol", "n", "data", "rows", "comparisons", "cost", "warnings", "command", "version"}


def test_the_csv_has_a_line_for_each_figure(made):
    lines = list(csv.DictReader(io.StringIO(report.as_csv(made))))
    assert len(lines) == sum(len(row) for row in made.rows.values())
    one = next(line for line in lines if (line["row"], line["metric"]) == ("half", "ssim"))
    assert float(one["value"]) == made.rows["half"]["ssim"].value
    assert (one["n"], one["protocol"]) == ("40", "native")


def test_models_are_compared_over_the_same_photographs(made, tables):
    found = {metric: d for metric, _, _, d in made.comparisons}
    apart = tables["half"]["ab-error"] - tables["<third>"]["ab-error"]
    assert found["ab-error"].mean == pytest.approx(apart.mean())
    assert "ab-error: half is better than <third>" in report.sentences(made)[0]


def test_a_frechet_distance_of_too_few_photographs_is_left_out_or_marked(tables):
    wide = {
        name: {**columns, "features/wide": np.random.default_rng(0).normal(size=(40, 50))}
        for name, columns in tables.items()
    }
    warnings = []
    rows = report.figures(wide, None, False, warnings)
    assert "fd-wide" not in rows["half"]
    assert "kd-wide" in rows["half"]
    assert len(warnings) == 1
    assert warnings[0].startswith("fd-wide left out: 40 photographs for 50 features")
    forced = report.figures(wide, None, True, [])["half"]["fd-wide"]
    assert forced.note == "too few: 40 photographs for 50 features"
    assert report.shown("fd-wide", forced).endswith(" *")


def test_only_inception_gives_what_is_called_fid(tables):
    known = {
        name: {**columns, "features/inception": columns["features/few"], "classes/inception": columns["classes/few"]}
        for name, columns in tables.items()
    }
    row = report.figures(known, None, False, [])["half"]
    assert {"fid", "kid", "is", "fd-few", "kd-few", "is-few"} <= set(row)
    assert row["fid"] == row["fd-few"]
    assert not {name for name in made_names(tables) if name in ("fid", "kid", "is")}


def made_names(tables):
    return report.figures(tables, None, False, [])["half"]


def test_a_reference_of_its_own_gives_the_truth_a_distance(tables):
    other = {"features/few": np.random.default_rng(1).random((60, 3))}
    rows = report.figures(tables, other, False, [])
    assert rows["truth"]["fd-few"].value == pytest.approx(
        metrics.frechet(tables["truth"]["features/few"], other["features/few"])
    )
    assert rows["truth"]["fd-few"].value > 0


def test_photographs_without_colour_are_refused(tables):
    with pytest.raises(ValueError, match="these photographs have no colour to measure against"):
        report.figures({**tables, "gray": tables["truth"]}, None, False, [])


@pytest.mark.parametrize(
    ("metric", "way"),
    [
        ("psnr-ab", "higher"),
        ("lpips-vgg", "lower"),
        ("fid", "lower"),
        ("is", "higher"),
        ("colorfulness", "truth"),
        ("auc", "higher"),
    ],
)
def test_every_metric_has_its_direction(metric, way):
    assert report.direction(metric) == way


def test_the_page_holds_everything_and_escapes_names(made, tables):
    pictures = sheet([[picture(0), picture(1)], [picture(2), picture(3)]])
    text = page.page(made, {name: columns["bins"].mean(0) for name, columns in tables.items()}, [("a & b", pictures)])
    assert "&lt;third&gt;" in text
    assert "<third>" not in text
    assert "a &amp; b" in text
    assert text.count("<svg") == 5
    assert "http" not in text.replace("http://www.w3.org", "")
    assert all(metric in text for metric in made.rows["half"])
    assert "parameters M" in text
    assert "class=best" in text
    assert "half is better than" in text


def test_every_figure_and_protocol_is_explained(made):
    text = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")
    explained = re.findall(r"`([^`]+)`", text)
    for metric in made.rows["half"]:
        derived = metric.replace("lpips-few", "lpips-alex").removesuffix("-to-truth").removesuffix("-few")
        assert any(name.removesuffix("-*") == derived for name in explained), metric
    assert set(PROTOCOLS) <= set(explained)


def test_each_picture_of_a_sheet_is_in_its_place():
    import pyvips

    def flat(value, shape=(50, 80)):
        return np.full((*shape, 3), value, np.uint8)

    made = pyvips.Image.new_from_buffer(sheet([(flat(0), flat(128), flat(255, (90, 30)))] * 5), "")
    step = TILE + GAP
    assert (made.width, made.height) == (12 * step - GAP, 2 * step - GAP)
    assert [made(step * i + 80, 80)[0] for i in range(3)] == pytest.approx([0, 128, 255], abs=2)


def test_the_cost_of_a_network_is_counted():
    import onnx
    from onnx import TensorProto, helper

    weight = helper.make_tensor("w", TensorProto.FLOAT, (4, 1, 3, 3), np.zeros(36, np.float32))
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], strides=[2, 2])
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", ["b", 1, "h", "w"]), ("y", ["b", 4, "p", "q"]))
    ]
    graph = helper.make_graph([node], "g", values[:1], values[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    network = model.SerializeToString()
    assert onnx.load_from_string(network).graph.node[0].op_type == "Conv"
    assert cost.parameters([network, network]) == 72
    assert cost.operations(network, {"x": (1, 1, 16, 16)}) == 2 * 8 * 8 * 4 * 9


def test_the_cost_of_attention_is_counted_at_the_shapes_it_meets():
    from onnx import TensorProto, helper

    names = [("x", ["b", "n", 8]), ("y", ["b", "n", "n"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names]
    nodes = [helper.make_node("Transpose", ["x"], ["z"], perm=[0, 2, 1]), helper.make_node("MatMul", ["x", "z"], ["y"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    assert cost.operations(model.SerializeToString(), {"x": (1, 5, 8)}) == 2 * 5 * 5 * 8


def test_a_network_without_convolutions_costs_nothing(bundle):
    network = (bundle / "colors.onnx").read_bytes()
    assert cost.operations(network, {"gray": (1, 1, 8, 8)}) == 0
