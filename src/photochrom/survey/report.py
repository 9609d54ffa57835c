"""The results of a survey as text."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from .results import Results, Value
from .statistics import chance_to_win

EXTREMES = 3  # photos listed at each end


def as_text(results: Results) -> str:
    """Return the results for people to read."""
    blocks = [_answers(results), _models(results)]
    if len(results.photos) > 1:
        blocks.append(_photos(results.photos))
    blocks.append(_behavior(results))
    if results.notes:
        blocks.append([f"note: {note}" for note in results.notes])
    return "\n\n".join("\n".join(block) for block in blocks)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _answers(results: Results) -> list[str]:
    people, trials = _count(results.participants, "participant"), _count(results.trials, "trial")
    lines = [f"{people}, {trials}, {_count(results.checks, 'attention check')} ({results.checks_passed} passed)"]
    limit = f"who failed more than {results.max_failed:.0%} of the attention checks"
    if results.left_out:
        names = ", ".join(f"{name} ({failed})" for name, failed in results.left_out.items())
        lines.append(f"left out: {_count(len(results.left_out), 'participant')} {limit}: {names}")
    else:
        lines.append(f"left out: no participant, none {limit}")
    if results.irregular:
        marks = ", ".join(f"{number} {mark}" for mark, number in results.irregular.items())
        lines.append(f"left out: trials with an irregular display: {marks}")
    return lines


def _models(results: Results) -> list[str]:
    others = results.all_participants
    if results.question == "real":
        rows = [[model, *_rate(value), f"{others[model]:.1%}"] for model, value in results.models.items()]
        header = ["model", "fool rate", "95% interval", "trials", "with all participants"]
        return [*_table(header, rows), "At 50% colorized photos could not be distinguished from those of a camera."]
    strengths = {model: value.value for model, value in results.models.items()}
    rows = []
    for model, value in results.models.items():
        chances = [chance_to_win(value.value, other) for name, other in strengths.items() if name != model]
        interval = f"{value.low:+.2f} to {value.high:+.2f}"
        numbers = [f"{fmean(chances):.0%}", str(value.trials), f"{others[model]:+.2f}"]
        rows.append([model, f"{value.value:+.2f}", interval, *numbers])
    header = ["model", "strength", "95% interval", "preferred", "trials", "with all participants"]
    return [*_table(header, rows), "Bradley-Terry strengths, mean 0; preferred: expected share against the others."]


def _photos(photos: Mapping[str, Value]) -> list[str]:
    rows = [[photo, *_rate(value)] for photo, value in photos.items()]
    if len(rows) > 2 * EXTREMES:
        rows = [*rows[:EXTREMES], ["..."], *rows[-EXTREMES:]]
    return _table(["photo", "fool rate", "95% interval", "trials"], rows)


def _rate(value: Value) -> list[str]:
    return [f"{value.value:.1%}", f"{value.low:.1%} to {value.high:.1%}", str(value.trials)]


def _behavior(results: Results) -> list[str]:
    alpha = "not defined (no pair was seen twice)" if results.agreement is None else f"{results.agreement:.2f}"
    return [
        f"agreement between participants (Krippendorff's alpha): {alpha}",
        f"median response time: {results.median_response:.1f} s; left picture chosen: {results.left_share:.0%}",
    ]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose first column is text and whose others are numbers."""
    widths = [0] * len(header)
    for row in (header, *rows):
        for column, cell in enumerate(row):
            widths[column] = max(widths[column], len(cell))
    lines = []
    for row in (header, *rows):
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=False)]
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return lines
