"""The results of a study with known differences between families."""

import csv
import io
import json
import re

import numpy as np
import pytest

from photochrom.study.analysis import collect
from photochrom.study.jobs import Job
from photochrom.study.plan import Model, Plan
from photochrom.study.report import as_html, write_report
from photochrom.study.spec import read_study

PHOTOS, GROUPS = 120, 20
STUDY = """
title = "A <study>"

[budget]
minutes = 2.0

[axes]
images = [100, 200, 400]
seeds = [0, 1]
points = [0.5, 1.0]

[question]
group = ["ddpm"]
name = "diffusion models"

[[families.unet]]
recipe = "unet.toml"

[[families.ddpm]]
recipe = "ddpm.toml"
"""


def estimate(value):
    return {"value": float(value), "low": float(value) - 1, "high": float(value) + 1}


@pytest.fixture
def collected(tmp_path):
    """The result of a study: by family, the level of the ab error, its gain from each doubling, seconds and ms."""

    def make(families, noise=0.3, failures=(), study=STUDY):
        (tmp_path / "study.toml").write_text(study)
        settings = read_study(tmp_path / "study.toml")
        rng, photos, models, costs = np.random.default_rng(0), np.random.default_rng(1).normal(size=PHOTOS), [], {}
        for name, (level, gain, seconds, latency) in families.items():
            for images in settings.axes.images:
                for seed in settings.axes.seeds:
                    for point in settings.axes.points:
                        path = tmp_path / f"{name}-{images}-{seed}-{point}.json"
                        models.append(Model(name, images, seed, point, path.with_suffix(""), path))
                        center = level - gain * np.log2(images / 100) + (1 - point)
                        columns = {
                            "ab-error": center + photos + noise * rng.normal(size=PHOTOS),
                            "is-efficientnet-lite0": 30 - center + noise * rng.normal(size=GROUPS),
                            "pd-efficientnet-lite0": center + photos + noise * rng.normal(size=PHOTOS),
                        }
                        np.savez(path.with_suffix(".npz"), **columns)
                        metrics = {metric: estimate(column.mean()) for metric, column in columns.items()}
                        metrics["colorfulness-to-truth"] = estimate(0.5)
                        content = {
                            "n": PHOTOS,
                            "data": {"sources": ["test.zip"], "digest": "0" * 64},
                            "training": {"steps": 10, "images_seen": 1000, "seconds": seconds * point},
                            "device": "a processor",
                            "training_images": images,
                            "training_digest": "1" * 64,
                            "warnings": [],
                            "metrics": metrics,
                            "baselines": {"grayscale": {"ab-error": estimate(17)}},
                        }
                        path.write_text(json.dumps(content))
            costs[name] = tmp_path / f"{name}-cost.json"
            costs[name].write_text(json.dumps({"ms a photo": latency}))
        search = tmp_path / "unet search 1.json"
        search.write_text(json.dumps({"set": ["optimizer.lr=0.0042"], "trials": [{}, {}]}))
        strips = {name: tmp_path / f"{name}.jpg" for name in ("unet", "ddpm", "grayscale", "ground truth")}
        for name, path in strips.items():
            path.write_bytes(name.encode())
        kept = {name: strips[name] for name in ("unet", "ddpm")}
        plan = Plan((), tuple(models), costs, kept, {"unet search 1": search})
        return collect(settings, plan, {Job(name, tmp_path, list): reason for name, reason in failures})

    return make


def test_answers_hold_where_every_comparison_is_won(collected):
    result = collected({"unet": (16, 0.2, 60, 5), "ddpm": (10, 1.0, 90, 50)})
    quality, scaling, training, inference = result.answers
    assert [answer.verdict for answer in result.answers] == ["holds"] * 4
    assert quality.question.startswith("Do diffusion models score better")
    assert quality.figures == "of 2 comparisons with other families, 2 are won, 0 lost, and 0 not significant"
    assert "is-efficientnet-lite0: ddpm is better than unet" in "\n".join(quality.details)
    assert len(scaling.details) == 2
    assert training.figures == "seconds for 1,000 images: unet 60, ddpm 90"
    assert inference.figures == "ms a photo: unet 5, ddpm 50"


def test_answers_do_not_hold_where_a_comparison_is_lost(collected):
    result = collected({"unet": (10, 1.0, 90, 50), "ddpm": (16, 0.2, 60, 5)})
    assert [answer.verdict for answer in result.answers] == ["does not hold"] * 4


def test_equal_families_cannot_be_told_apart(collected):
    result = collected({"unet": (12, 0.5, 60, 5), "ddpm": (12, 0.5, 60, 5)})
    assert [answer.verdict for answer in result.answers][:2] == ["undecided"] * 2
    assert not any(comparison.significant for comparison in result.comparisons)


def test_slopes_and_means_are_those_of_the_models(collected):
    result = collected({"unet": (16, 0.5, 60, 5), "ddpm": (12, 1.0, 60, 5)})
    for family, gain in (("unet", 0.5), ("ddpm", 1.0)):
        effect = result.slopes[family]["ab-error"]
        assert effect.low < -gain < effect.high
        assert effect.value == pytest.approx(-gain, abs=0.1)
    mean = result.estimate(result.select("unet"), "ab-error")
    assert mean.value == pytest.approx(16 - 0.5 * 2, abs=0.3)
    assert result.estimate(result.select("unet"), "colorfulness-to-truth") == 0.5


def test_a_family_that_failed_is_reported_and_the_others_compared(collected, tmp_path):
    result = collected({"unet": (16, 0.5, 60, 5)}, failures=[("ddpm test", "the <graph> differs")])
    assert result.families == ["unet"]
    assert result.answers == []
    assert "Failed: ddpm test: the &lt;graph&gt; differs" in as_html(result)


def test_nothing_measured_is_an_error(collected):
    with pytest.raises(ValueError, match="no model was measured, so there is nothing to compare"):
        collected({})


def test_the_files_of_a_report(collected, tmp_path):
    result = collected({"unet": (16, 0.5, 60, 5), "ddpm": (12, 1.0, 70, 5)})
    write_report(result, tmp_path)
    content = json.loads((tmp_path / "results.json").read_text())
    assert len(content["models"]) == 2 * 3 * 2 * 2
    assert content["models"][0]["metrics"]["ab-error"].keys() == {"value", "low", "high"}
    assert {comparison["metric"] for comparison in content["comparisons"]} == {
        "ab-error", "is-efficientnet-lite0", "pd-efficientnet-lite0"
    }  # fmt: skip
    rows = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    assert len(rows) == 24 * 4
    assert (rows[0]["family"], rows[0]["images"], rows[0]["metric"]) == ("unet", "100", "ab-error")
    page = (tmp_path / "report.html").read_text()
    assert "<h1>A &lt;study&gt;</h1>" in page
    assert page.count("<svg") == 4  # two metrics over training and over the amount of data
    assert not re.search(r"(src|href)=.?https?:", page)  # all it shows is in the file
    assert "<td class=best>" in page
    assert list(result.strips.items()) == [
        (name, name.encode()) for name in ("grayscale", "unet", "ddpm", "ground truth")
    ]
    assert page.count("<figure>") == 4
    assert "unet search 1: <code>optimizer.lr=0.0042</code>, the best of 2 trials" in page
