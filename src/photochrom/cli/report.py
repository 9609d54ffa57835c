"""What a run over photos prints."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePath
from typing import TYPE_CHECKING

import typer

from .console import count, fail, progress

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from ..imaging.sources import Passed
    from ..inference.plan import Task
    from ..inference.processing import Outcome


def describe(passed: "Passed") -> list[str]:
    """Return a line about what was passed over in folders, if anything was."""
    from ..imaging.sources import describe_passed

    hint = " (--hidden includes hidden ones)" if passed["hidden file"] or passed["hidden folder"] else ""
    return [f"passed over: {describe_passed(passed)}{hint}"] if passed else []


@dataclass(frozen=True)
class Mode:
    """What `report` prints: errors alone if ``quiet``, a line about each photo if ``verbose``, JSON lines for scripts.

    ``dry_run``: no output was written. ``model``: name and version, for the JSON lines.
    """

    quiet: bool = False
    verbose: bool = False
    as_json: bool = False
    dry_run: bool = False
    model: tuple[str, str] = ("", "")


class FilmBar:
    """Shows how many seconds of a film are done, beside the bar of a run that it is attached to."""

    def __init__(self) -> None:
        self.bar: Progress | None = None
        self.line: TaskID | None = None

    def attach(self, bar: "Progress") -> None:
        """Show the progress of films beside a bar."""
        self.bar = bar

    def __call__(self, done: float, whole: float | None) -> None:
        """Show the seconds that are done, of the whole film if they are known."""
        if self.bar is None:
            return
        if self.line is None:
            self.line = self.bar.add_task("seconds of film")
        self.bar.update(self.line, completed=int(done), total=None if whole is None else int(whole))


def report(
    tasks: "Sequence[Task]",
    outcomes: "Iterator[Outcome]",
    passed: "Passed",
    mode: Mode,
    on_bar: "Callable[[Progress], None]" = lambda bar: None,
) -> None:
    """Print the path of each output, each failure, and a summary; exit with code 1 when a photo failed.

    ``on_bar`` gets the progress bar before the first outcome.
    """
    from ..imaging.errors import printable

    statuses, skipped, unwritten = Counter[str](), Counter[str](), Counter[str]()
    notes: dict[str, list[str]] = {}  # names of photos by note
    files = 0
    with progress(mode.quiet) as bar:
        on_bar(bar)
        # Where stdout and stderr are the same terminal, only the bar may write to it.
        same_terminal = sys.stdout.isatty() and sys.stderr.isatty()
        print_line = partial(bar.console.out, highlight=False) if same_terminal else typer.echo
        print_error = partial(bar.console.print, highlight=False, markup=False, soft_wrap=True)
        for outcome in bar.track(outcomes, len(tasks), description="colorizing"):
            cause = _write_error(outcome)
            if outcome.status == "failed" and (mode.verbose or cause not in unwritten):
                print_error(outcome.reason, style="red")
            elif outcome.status != "failed" and mode.verbose:
                print_error(details(outcome))
            unwritten.update([cause] if cause else ())
            for line in _lines(outcome, mode):
                print_line(line)
            statuses[outcome.status] += 1
            skipped.update([outcome.reason] if outcome.status == "skipped" else ())
            for note in outcome.notes:
                notes.setdefault(note, []).append(printable(outcome.task.source))
            files += len(outcome.files)
    counted = [] if mode.verbose else _count_unwritten(unwritten)
    for line in counted if mode.quiet else [*counted, *_summary(skipped, notes), *describe(passed)]:
        typer.echo(line, err=True)
    if mode.dry_run and not mode.quiet:
        typer.echo(f"dry run: {count(files, 'file')} would be written", err=True)
    failed = statuses["failed"]
    if failed:
        sources = _count_sources(tasks)
        fail(f"{sources} failed" if failed == len(tasks) else f"{failed} of {sources} failed", 1)


def _write_error(outcome: "Outcome") -> str:
    """Return why an output could not be written, which is the same for all on a full disk; "" for other failures."""
    _, separator, cause = outcome.reason.rpartition(": cannot be written (")
    return cause if separator else ""


def _count_unwritten(causes: "Counter[str]") -> list[str]:
    """Return a line about the outputs after the first that could not be written, for each cause."""
    others = {cause: number - 1 for cause, number in causes.items() if number > 1}
    return [f"{number} more: cannot be written ({cause}; -v names each" for cause, number in others.items()]


def _count_sources(tasks: "Sequence[Task]") -> str:
    """Return the number of photos, films, and folders that cannot be read: `2 photos`, `3 photos and folders`."""
    from ..imaging.films import FILM_OUTPUTS

    kinds = {"photo": 0, "film": 0, "folder": 0}
    for task in tasks:
        is_film = PurePath(task.target).suffix.lower() in FILM_OUTPUTS
        kinds["folder" if task.problem else "film" if is_film else "photo"] += 1
    names = [name for name, number in kinds.items() if number]
    if len(names) == 1:
        return count(len(tasks), names[0])
    return f"{len(tasks)} {', '.join(f'{name}s' for name in names[:-1])} and {names[-1]}s"


def _lines(outcome: "Outcome", mode: Mode) -> list[str]:
    """Return what stdout gets about a photo: the paths of its outputs, or a JSON line."""
    from ..imaging.errors import printable

    if mode.as_json:
        return [json_line(outcome, mode)]
    return [] if mode.quiet else [printable(file) for file in outcome.files]


def _summary(skipped: "Counter[str]", notes: dict[str, list[str]]) -> list[str]:
    from ..inference.processing import SkipReason

    lines = [f"{_enumerate(names)}: {note}" for note, names in notes.items()]
    for reason, number in skipped.items():
        advice = "use --overwrite to replace it"
        if reason == SkipReason.COLORIZED:
            advice = "name the file to colorize it again"
        elif reason == SkipReason.OTHER_PHOTO:
            advice = f"choose another -o, or {advice}"
        lines.append(f"{count(number, 'photo')} skipped: {reason} ({advice})")
    return lines


def _enumerate(names: list[str]) -> str:
    """Return `a.jpg`, `a.jpg and b.jpg`, or `a.jpg, b.jpg and 12 more`."""
    first, rest = names[:2], len(names) - 2
    return f"{', '.join(first)} and {rest} more" if rest > 0 else " and ".join(first)


def details(outcome: "Outcome") -> str:
    """Return a line about a photo: its size, the time that it took, and the notes."""
    from ..imaging.errors import printable

    facts = [outcome.reason] if outcome.reason else []
    if outcome.size:
        facts += [f"{outcome.size[0]} x {outcome.size[1]} pixels", f"{outcome.seconds:.2f} s"]
    return f"{printable(outcome.task.source)}: {', '.join(facts)}" + "".join(f"; {note}" for note in outcome.notes)


def json_line(outcome: "Outcome", mode: Mode) -> str:
    """Return what became of a photo as a line of JSON."""
    name, version = mode.model
    planned = mode.dry_run and outcome.status == "written"
    files = outcome.files
    if outcome.status == "skipped":
        files = tuple(file for file in outcome.task.files.values() if os.path.exists(file))  # noqa: PTH110 - or an address
    values = {
        "source": str(outcome.task.source),
        "outputs": list(map(str, files)),
        "status": "planned" if planned else outcome.status,
        "reason": outcome.reason,
        "notes": outcome.notes,
        "model": name,
        "version": version,
        "seeds": outcome.task.seeds,
        "seconds": round(outcome.seconds, 3),
    }
    return json.dumps(values)
