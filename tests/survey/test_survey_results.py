"""What is computed from answers and printed, and the command."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import asdict, replace

import httpx
import numpy as np
import pytest

from photochrom.survey.answers import Answer
from photochrom.survey.plan import TINTED, TRUTH, plan_trials, source_pairs
from photochrom.survey.report import as_text
from photochrom.survey.results import summarize
from waiting import wait_until

RATES = {"good": 0.5, "poor": 0.2}
PHOTOS = [f"photo{index}" for index in range(40)]
ORDINARY = Answer("s", "real", "", 0, 0, "trial", "", "", "", "left", 2.0, 2.0, 1.5, 300, [])


def answer_trials(participant, plan, choose, question="real"):
    """The answers of a participant; `choose` returns the source that is chosen."""
    answers = []
    for number, trial in enumerate(plan):
        if trial.kind == "practice":
            continue
        choice = "left" if choose(trial) == trial.left else "right"
        answers.append(
            replace(ORDINARY, question=question, participant=participant, trial=number, choice=choice, **asdict(trial))
        )
    return answers


def simulate(rng, participants=24, careless=()):
    """Answers by people with the known `RATES`; the careless ones choose at random, also in attention checks."""

    def choose(trial):
        model = trial.right if trial.left == TRUTH else trial.left
        if index in careless:
            return (trial.left, trial.right)[rng.integers(2)]
        return model if rng.random() < RATES.get(model, 0) else TRUTH

    answers = []
    for index in range(participants):
        plan = plan_trials(PHOTOS, source_pairs(sorted(RATES), truth=True, rank=False), 30, index, seed=0)
        answers += answer_trials(f"p{index:02}", plan, choose)
    return answers


def simulate_ranking(rng, always=None):
    strengths = {"a": 1.0, "b": 0.0, "c": -1.0}

    def choose(trial):
        if TINTED in (trial.left, trial.right):
            return trial.left if trial.right == TINTED else trial.right
        if always in (trial.left, trial.right):
            return always
        chance = 1 / (1 + np.exp(strengths[trial.right] - strengths[trial.left]))
        return trial.left if rng.random() < chance else trial.right

    answers = []
    for index in range(24):
        plan = plan_trials(PHOTOS, source_pairs(sorted(strengths), truth=False, rank=True), 30, index, seed=0)
        answers += answer_trials(f"p{index:02}", plan, choose, "better")
    return answers


def test_the_known_fool_rates_are_within_their_intervals():
    results = summarize(simulate(np.random.default_rng(0)), 0.25)
    assert results.models.keys() == RATES.keys()
    for model, rate in RATES.items():
        value = results.models[model]
        assert value.low < rate < value.high
        assert value.high - value.low < 0.2
        assert value.trials == 24 * 27 / 2
    assert (results.participants, results.trials, results.checks) == (24, 24 * 27, 24 * 3)
    assert results.checks_passed == results.checks
    assert len(results.photos) == len(PHOTOS)
    assert abs(results.left_share - 0.5) < 0.06
    assert abs(results.agreement) < 0.2


def test_careless_participants_are_left_out_and_both_rates_are_stated():
    results = summarize(simulate(np.random.default_rng(1), careless=(3, 7, 8)), 0.25)
    assert results.left_out.keys() <= {"p03", "p07", "p08"}
    assert results.left_out
    assert results.models["poor"].value < results.all_participants["poor"]
    text = as_text(results)
    assert f"left out: {len(results.left_out)} participant" in text
    assert "more than 25% of the attention checks" in text
    assert summarize(simulate(np.random.default_rng(1), careless=(3, 7, 8)), 1).left_out == {}


def test_irregular_trials_are_left_out_and_counted():
    answers = simulate(np.random.default_rng(2))
    trials = [index for index, answer in enumerate(answers) if answer.kind == "trial"]
    for index, mark in zip(trials, ("late", "paused", "paused"), strict=False):
        answers[index] = replace(answers[index], marks=[mark])
    results = summarize(answers, 0.25)
    assert results.irregular == {"late": 1, "paused": 2}
    assert sum(value.trials for value in results.models.values()) == len(trials) - 3
    assert "irregular display: 1 late, 2 paused" in as_text(results)


def test_answers_that_occur_twice_count_once():
    answers = simulate(np.random.default_rng(3))
    assert summarize([*answers, *answers], 0.25) == summarize(answers, 0.25)


def test_a_ranking_finds_the_order_and_ties_count_half():
    results = summarize(simulate_ranking(np.random.default_rng(0)), 0.25)
    assert list(results.models) == ["a", "b", "c"]
    for value, strength in zip(results.models.values(), (1, 0, -1), strict=True):
        assert value.low < strength < value.high
    ties = [replace(answer, choice="tie") for answer in simulate_ranking(np.random.default_rng(0))]
    assert all(abs(value.value) < 1e-6 for value in summarize(ties, 1).models.values())


def test_a_model_that_wins_every_trial_is_noted():
    results = summarize(simulate_ranking(np.random.default_rng(0), always="c"), 0.25)
    best, *_ = results.models.values()
    assert next(iter(results.models)) == "c"
    assert np.isfinite([best.value, best.low, best.high]).all()
    assert "c won every trial: its strength is limited only by the half win" in as_text(results)


def test_nothing_to_evaluate_is_an_error():
    real, better = simulate(np.random.default_rng(0)), simulate_ranking(np.random.default_rng(0))
    for answers, reason in (([], "no answers yet"), ([*real, *better], "two questions")):
        with pytest.raises(ValueError, match=reason):
            summarize(answers, 0.25)
    with pytest.raises(ValueError, match="none of"):
        summarize([replace(answer, marks=["late"]) for answer in real], 0.25)


@pytest.mark.parametrize("participants", [1, 2, 3])
def test_few_participants_have_results_and_a_note(participants):
    results = summarize(simulate(np.random.default_rng(0), participants), 0.25)
    assert all(value.low < value.value < value.high for value in results.models.values())
    assert f"note: {participants} participant" in as_text(results)


def run(*arguments):
    command = [sys.executable, "-m", "photochrom", "survey", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_prints_and_writes_results(tmp_path):
    path, report = tmp_path / "answers.jsonl", tmp_path / "results.json"
    lines = [json.dumps(asdict(answer)) for answer in simulate(np.random.default_rng(0))]
    path.write_text("\n".join(lines) + "\n")
    done = run("--results", path, "--json", report)
    assert (done.returncode, done.stderr) == (0, "")
    assert "24 participants, 648 trials, 72 attention checks (72 passed)" in done.stdout
    assert "Krippendorff's alpha" in done.stdout
    values = json.loads(report.read_text())
    assert values["models"]["good"].keys() == {"value", "low", "high", "trials"}
    assert run("--results", path, "--json", report).returncode == 2
    path.write_text("notes\n")
    done = run("--results", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "answers.jsonl:1: not an answer of a survey" in done.stderr


def test_wrong_calls_say_what_to_do(tmp_path):
    for arguments, reason in (
        ((), "give a FOLDER for each model and -o FILE"),
        ((tmp_path / "none", "-o", tmp_path / "a.jsonl"), "there is no such folder"),
        (("--results", tmp_path / "none.jsonl"), "none.jsonl: cannot be read (No such file or directory)"),
        (("--truth", tmp_path, tmp_path, "-o", tmp_path / "a.jsonl"), "no photos"),
    ):
        done = run(*arguments)
        assert done.returncode == 2
        assert reason in done.stderr
        assert "Traceback" not in done.stderr


@contextmanager
def survey_command(*arguments):
    """The process of a survey, and the line that it prints when it serves the page."""
    command = [sys.executable, "-m", "photochrom", "survey", *map(str, arguments), "--port", "0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        try:
            yield process, process.stdout.readline()
        finally:
            process.kill()


def test_the_command_serves_until_ctrl_c(folders, tmp_path):
    arguments = ("--truth", folders / "truth", folders / "warm", folders / "cold", "-o", tmp_path / "a.jsonl")
    with survey_command(*arguments, "--seconds", "1") as (process, line):
        assert "8 photos, 7 trials for each participant" in line
        url = line.split()[0]
        assert wait_until(lambda: httpx.get(f"{url}survey")).json()["seconds"] == 1
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")


def test_the_network_needs_a_secret_and_says_so(folders, tmp_path):
    arguments = ("--truth", folders / "truth", folders / "warm", "-o", tmp_path / "a.jsonl", "--host", "0.0.0.0")
    with survey_command(*arguments) as (process, line):
        host, port, secret, *_ = line.split()[0].removeprefix("http://").replace(":", "/").split("/")
        assert len(secret) >= 12
        local = f"http://127.0.0.1:{port}"
        assert httpx.get(f"{local}/survey").status_code == 404
        assert httpx.get(f"{local}/{secret}/survey", headers={"host": f"{host}:{port}"}).status_code == 200
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate()
        assert "Everybody in the network who has this link can take part" in errors
