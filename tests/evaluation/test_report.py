"""Reports contain what was measured, in the documented layout, with warnings."""

import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest

from conftest import memory_images
from fake_networks import FakeNetworks, sample_image
from photochrom.evaluation import cost, metrics
from photochrom.evaluation import report as reports
from photochrom.evaluation.measure import Row, baselines, measure, survey
from photochrom.evaluation.metrics import METRICS, find_metric
from photochrom.evaluation.protocols import PROTOCOLS, find_protocol
from photochrom.evaluation.summary import compare_models, summarize

ROOT = Path(__file__).parents[2]
NATIVE = find_protocol("native")


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    store = tmp_path_factory.mktemp("store")
    images = memory_images(40)
    summary = survey(images, NATIVE, store)
    rows = [
        Row("half", "half", lambda name, truth: [truth // 2 + 60]),
        Row("<third>", "third", lambda name, truth: [truth // 3 + 80]),
    ]
    return measure(summary, [*baselines(summary), *rows], FakeNetworks())


@pytest.fixture(scope="module")
def report(tables):
    rows, warnings = summarize(tables, None, False)
    data = {"sources": ["photos.zip"], "digest": "0123"}
    costs = {"half": {"parameters M": 1.5}}
    comparisons = compare_models(tables, rows)
    histograms = {name: columns["bins"].mean(0) for name, columns in tables.items()}
    jpeg = reports.draw_contact_sheet([[sample_image(0), sample_image(1)], [sample_image(2), sample_image(3)]])
    return reports.EvaluationResult(
        NATIVE,
        40,
        data,
        rows,
        comparisons,
        warnings,
        costs,
        "photochrom evaluate",
        histograms,
        [("a & b", jpeg)],
    )


def test_grayscale_and_ground_truth_bound_the_metrics(report):
    rows = {name: {m: f.value for m, f in row.items()} for name, row in report.rows.items()}
    assert (
        rows["grayscale"]["ab-error-to-gray"]
        == rows["ground truth"]["colorfulness-to-truth"]
        == rows["ground truth"]["auc"]
        == 1
    )
    assert rows["ground truth"]["ab-error"] == rows["ground truth"]["delta-colorfulness"] == 0
    assert rows["ground truth"]["fd-fake"] == pytest.approx(0, abs=1e-12)
    assert rows["grayscale"]["colorfulness"] == pytest.approx(0, abs=0.05)
    assert rows["ground truth"]["ab-overlap"] == pytest.approx(1)
    assert rows["half"]["delta-colorfulness"] == pytest.approx(
        rows["ground truth"]["colorfulness"] - rows["half"]["colorfulness"]
    )
    assert all(f.low <= f.value <= f.high for f in report.rows["half"].values() if f.low is not None)


def test_json_has_the_documented_layout(report):
    content = json.loads(reports.as_json(report))
    assert (content["protocol"], content["n"], content["data"]["sources"]) == ("native", 40, ["photos.zip"])
    assert list(content["rows"]) == ["grayscale", "mean color", "ground truth", "half", "<third>"]
    assert all(set(f) <= {"value", "low", "high", "note"} for row in content["rows"].values() for f in row.values())
    assert content["rows"]["half"]["psnr"]["value"] == report.rows["half"]["psnr"].value
    assert content["comparisons"][0]["models"] == ["half", "<third>"]
    page = (ROOT / "docs" / "reference" / "color-and-metrics.md").read_text(encoding="utf-8")
    example = json.loads(page.partition("```json\n")[2].partition("```")[0])
    assert content.keys() == example.keys()
    assert content["comparisons"][0].keys() == example["comparisons"][0].keys()
    assert set(content) == {"protocol", "n", "data", "rows", "comparisons", "cost", "warnings", "command", "version"}


def test_csv_has_a_line_for_each_metric(report):
    lines = list(csv.DictReader(io.StringIO(reports.as_csv(report))))
    assert len(lines) == sum(len(row) for row in report.rows.values())
    one = next(line for line in lines if (line["row"], line["metric"]) == ("half", "ssim"))
    assert float(one["value"]) == report.rows["half"]["ssim"].value
    assert (one["n"], one["protocol"]) == ("40", "native")


def test_models_are_compared_on_the_same_images(report, tables):
    differences_by_metric = {c.metric: c for c in report.comparisons}
    differences = tables["half"]["ab-error"] - tables["<third>"]["ab-error"]
    assert differences_by_metric["ab-error"].difference == pytest.approx(differences.mean())
    assert "ab-error: half is better than <third>" in differences_by_metric["ab-error"].verdict
    assert set(differences_by_metric) == {"psnr", "ab-error", "ciede2000", "lpips-fake", "pd-fake"} | {
        "fd-fake",
        "kd-fake",
        "is-fake",
    }


def test_a_frechet_distance_of_too_few_images_is_left_out_or_marked(tables):
    wide = {
        name: {**columns, "features/wide": np.random.default_rng(0).normal(size=(40, 50))}
        for name, columns in tables.items()
    }
    rows, warnings = summarize(wide, None, False)
    assert "fd-wide" not in rows["half"]
    assert "kd-wide" in rows["half"]
    assert len(warnings) == 1
    assert warnings[0].startswith("fd-wide left out: 40 photos for 50 features")
    forced = summarize(wide, None, True)[0]["half"]["fd-wide"]
    assert forced.note == "too few: 40 photos for 50 features"
    assert reports.format_estimate("fd-wide", forced).endswith(" *")


def test_only_inception_gives_fid_kid_and_is(tables):
    renamed = {
        name: {**columns, "features/inception": columns["features/fake"], "classes/inception": columns["classes/fake"]}
        for name, columns in tables.items()
    }
    row = summarize(renamed, None, False)[0]["half"]
    assert {"fid", "kid", "is", "fd-fake", "kd-fake", "is-fake"} <= set(row)
    assert row["fid"] == row["fd-fake"]
    assert not {"fid", "kid", "is"} & set(summarize(tables, None, False)[0]["half"])


def test_a_separate_reference_gives_the_ground_truth_a_distance(tables):
    other = {"features/fake": np.random.default_rng(1).random((60, 3))}
    rows, _ = summarize(tables, other, False)
    assert rows["ground truth"]["fd-fake"].value == pytest.approx(
        metrics.frechet_distance(tables["ground truth"]["features/fake"], other["features/fake"])
    )
    assert rows["ground truth"]["fd-fake"].value > 0


def test_photos_without_color_are_refused(tables):
    with pytest.raises(ValueError, match="these photos have no color to compare with"):
        summarize({**tables, "grayscale": tables["ground truth"]}, None, False)


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("psnr-ab", "higher"),
        ("lpips-vgg", "lower"),
        ("fid", "lower"),
        ("is", "higher"),
        ("colorfulness", "truth"),
        ("auc", "higher"),
    ],
)
def test_metrics_have_their_direction(metric, better):
    assert find_metric(metric).better == better


def test_labels_say_which_network_and_which_truth():
    assert "not accuracy" in find_metric("class-agreement-efficientnet-lite0").label
    assert "instead of Inception" in find_metric("is-efficientnet-lite0").label
    for metric in ("pd-efficientnet-lite0", "fd-vgg16", "kd-vgg16"):
        assert "features of this network" in find_metric(metric).label


@pytest.mark.parametrize("name", ["sharpness", "lpips", "psnr-rgb", "fid-fake"])
def test_a_metric_without_record_is_refused(name, tables):
    with pytest.raises(ValueError, match=f"unknown metric '{name}': add a record with its direction"):
        find_metric(name)
    with pytest.raises(ValueError, match="unknown metric"):
        summarize({row: {**columns, name: columns["psnr"]} for row, columns in tables.items()}, None, False)


def test_every_metric_has_one_record():
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert find_metric(metric.name.replace("*", "x")) is metric


def test_html_contains_everything_and_escapes_names(report):
    text = reports.as_html(report)
    assert "&lt;third&gt;" in text
    assert "<third>" not in text
    assert "a &amp; b" in text
    assert text.count("<svg") == 5
    assert "http" not in text.replace("http://www.w3.org", "")
    assert all(metric in text for metric in report.rows["half"])
    assert "parameters M" in text
    assert "class=best" in text
    assert "half is better than" in text


def test_every_metric_and_protocol_is_documented(report):
    text = (Path(__file__).parents[2] / "docs" / "explanation" / "metrics.md").read_text(encoding="utf-8")
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    documented = re.findall(r"`([^`]+)`", text)
    for metric in report.rows["half"]:
        derived = metric.replace("lpips-fake", "lpips-alex").removesuffix("-to-truth").removesuffix("-fake")
        assert any(name.removesuffix("-*") == derived for name in documented), metric
    assert set(PROTOCOLS) <= set(documented)


def test_each_image_of_a_contact_sheet_has_its_place():
    import pyvips

    def flat(value, shape=(50, 80)):
        return np.full((*shape, 3), value, np.uint8)

    image = pyvips.Image.new_from_buffer(
        reports.draw_contact_sheet([(flat(0), flat(128), flat(255, (90, 30)))] * 5), ""
    )
    step = reports.TILE + reports.GAP
    assert (image.width, image.height) == (12 * step - reports.GAP, 2 * step - reports.GAP)
    assert [image(step * i + 80, 80)[0] for i in range(3)] == pytest.approx([0, 128, 255], abs=2)


def test_parameters_and_operations_are_counted():
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
    assert cost.count_parameters([network, network]) == 72
    assert cost.count_operations(network, x=(1, 1, 16, 16)) == 2 * 8 * 8 * 4 * 9


def test_operations_of_attention_depend_on_the_input():
    from onnx import TensorProto, helper

    names = [("x", ["b", "n", 8]), ("y", ["b", "n", "n"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names]
    nodes = [helper.make_node("Transpose", ["x"], ["z"], perm=[0, 2, 1]), helper.make_node("MatMul", ["x", "z"], ["y"])]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    assert cost.count_operations(model.SerializeToString(), x=(1, 5, 8)) == 2 * 5 * 5 * 8


def test_a_network_without_convolutions_has_no_operations(bundle):
    network = (bundle / "colors.onnx").read_bytes()
    assert cost.count_operations(network, gray=(1, 1, 8, 8)) == 0
