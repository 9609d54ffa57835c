"""The command that asks people which pictures are real, or better."""

import json
import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from .console import count, exit_on, fail, loading, progress, writable

FOLDERS = "Folder of each model: its image of each photo, with the name of the photo."
TRUTH = "Folder or zip of the photos in the colors of the camera: participants find out which picture is real."
RANK = "Ask which picture looks better, and rank the models; --truth takes part as one of them."
CONSENT_TEXT = "Text file to show instead of the consent text."
TRIALS = "Number of trials of a participant, attention checks among them; at most the photos less 1."
HOST = "Address to listen on; 0.0.0.0 = all: whoever gets the link can take part."
MAX_FAILED = "Leave out participants who fail a larger share of their attention checks."


def survey(  # noqa: PLR0913 - each is an option of the command
    folders: Annotated[list[Path] | None, typer.Argument(metavar="FOLDER...", help=FOLDERS)] = None,
    truth: Annotated[Path | None, typer.Option(help=TRUTH)] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="File of the answers (JSON lines).")] = None,
    rank: Annotated[bool, typer.Option("--rank", help=RANK)] = False,
    seconds: Annotated[float, typer.Option(min=0, help="Display time; 0 = until the answer.")] = 2,
    trials: Annotated[int, typer.Option(min=2, help=TRIALS)] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the order of photos and trials.")] = 0,
    consent: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help=CONSENT_TEXT)] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 = any free port.")] = 8000,
    host: Annotated[str, typer.Option(help=HOST)] = "127.0.0.1",
    allow: Annotated[list[str] | None, typer.Option(help="Further host name to respond to; repeatable.")] = None,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    results: Annotated[Path | None, typer.Option(help="Print the results of a file of answers.")] = None,
    max_failed: Annotated[float, typer.Option(min=0, max=1, help=MAX_FAILED)] = 0.25,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the results to this JSON file.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing --json file.")] = False,
) -> None:
    """Ask people which of two pictures is real, or better, on a web page; --results evaluates the answers.

    The file of answers only grows: stop at any time (Ctrl-C) and run the command again to continue.
    """
    if results:
        _print_results(results, max_failed, json_file, overwrite)
        return
    if not folders or output is None:
        fail("give a FOLDER for each model and -o FILE for the answers, or --results FILE to evaluate them", 2)
    with loading("web"):
        from ..survey.app import CONSENT, network_names, serve
        from ..survey.pictures import load_pictures
        from ..survey.session import Settings, Survey

    with exit_on(ValueError, OSError):
        text = (consent or CONSENT).read_text(encoding="utf-8")
        with progress() as bar:
            task = bar.add_task("reading", total=None)
            pictures = load_pictures(truth, folders, lambda done, total: bar.update(task, completed=done, total=total))
        settings = Settings(truth is not None, rank or truth is None, seconds, trials, seed)
        running = Survey(pictures, settings, output)

    def on_start(url: str) -> None:
        kept = f", {count(len(running.file.answers), 'answer')} so far" if running.file.answers else ""
        plan = f"{count(len(pictures.photos), 'photo')}, {count(running.trials, 'trial')} for each participant{kept}"
        typer.echo(f"{url}  ({plan}; Ctrl-C stops the survey)")
        if network_names(host) or allow:
            typer.echo("Everybody in the network who has this link can take part; it is not encrypted.", err=True)
        if browser:
            webbrowser.open(url)

    with exit_on(ValueError, OSError):
        serve(running, text, (host, port), allow or (), on_start)


def _print_results(path: Path, max_failed: float, json_file: Path | None, overwrite: bool) -> None:
    with loading():
        from ..imaging.atomic import atomic_write
        from ..survey.answers import read_answers
        from ..survey.report import as_text
        from ..survey.results import summarize
    writable((json_file,), overwrite)
    with exit_on(ValueError):
        answers = read_answers(path)
        if not answers:
            fail(f"{path}: no answers yet; run photochrom survey FOLDER... -o {path} first", 2)
        summary = summarize(answers, max_failed)
    typer.echo(as_text(summary))
    if json_file:
        with exit_on(ValueError, code=1), atomic_write(json_file, overwrite) as file:
            file.write(json.dumps(asdict(summary), indent=1).encode())
