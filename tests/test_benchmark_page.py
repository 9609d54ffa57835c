"""The page of benchmarks shows the stored results, and a lower ratio is noticed."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUTPUT = "head of all\n\n| a | b |\n|---|---|\n| 1 | 2 |\nafter\n| photos | 8 |\n| lost | 0 |\n"


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def test_the_page_shows_the_stored_results():
    import run_all

    results = json.loads(run_all.RESULTS.read_text(encoding="utf-8"))
    page = run_all.PAGE.read_text(encoding="utf-8")
    assert page == run_all.render(results), "change benchmarks/run_all.py, and run it or render its results"
    assert set(results["benchmarks"]) == set(run_all.BENCHMARKS)
    for entry in results["benchmarks"].values():
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", entry["date"])
        assert "python benchmarks/" in entry["command"]
        assert str(ROOT) not in entry["command"] + entry["output"]


def test_results_of_two_machines_are_not_mixed():
    import run_all

    results = {"machine": {"processor": "slow"}, "benchmarks": {"speed": {}, "photo": {}}}
    slow, fast = results["machine"], {"processor": "fast"}
    assert run_all.results_for(results, slow, ["speed"]) == results
    assert run_all.results_for(results, fast, ["speed", "photo"])["machine"] == fast
    with pytest.raises(SystemExit, match="another machine"):
        run_all.results_for(results, fast, ["speed"])


def test_every_script_is_run_or_said_not_to_be():
    import run_all

    modules = {"timing.py", "peers.py", "networks.py", "autoregression_public.py", "run_all.py"}
    scripts = {path.name for path in (ROOT / "benchmarks").glob("*.py")} - modules
    named = {benchmark.script for benchmark in run_all.BENCHMARKS.values()}
    named |= {name.strip("`") for name in run_all.OTHERS}
    assert scripts == named


def test_tables_stay_tables_and_other_lines_are_text():
    import run_all

    entry = {"command": "python benchmarks/x.py", "output": OUTPUT, "seconds": 1, "date": "2030-01-02", "load": None}
    section = run_all.render_section(run_all.Benchmark("Title", "About.", "x.py"), entry)
    assert "```text\nhead of all\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```text\nafter\n```\n" in section
    assert "| | |\n|---|---|\n| photos | 8 |\n| lost | 0 |\n" in section


@pytest.mark.parametrize(("ratio", "slower"), [(13.0, False), (8.2, False), (7.8, True)])
def test_a_ratio_below_its_tolerance_is_a_regression(ratio, slower):
    from ratios import is_regression

    assert is_regression(ratio, {"ratio": 13.0, "tolerance": 1.6}) == slower


def test_the_best_rounds_are_compared_without_the_first():
    from ratios import measure_ratio

    ours, theirs = iter([0.1, 2.0, 1.0]), iter([0.1, 3.0, 9.0])
    assert measure_ratio((lambda: next(ours), lambda: next(theirs)), 2) == 3.0


def test_stored_ratios_are_those_that_are_measured(tmp_path, monkeypatch):
    import ratios

    stored = ratios.read_stored()
    assert list(stored) == list(ratios.MEASURES)
    assert all(entry["ratio"] > 0 and 1 < entry["tolerance"] < 2 for entry in stored.values())
    copy = tmp_path / "ratios.toml"
    copy.write_text(ratios.STORE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(ratios, "STORE", copy)
    ratios.store("folder", 9.8765)
    changed = ratios.read_stored()
    assert changed.pop("folder")["ratio"] == 9.88
    stored.pop("folder")
    assert changed == stored
