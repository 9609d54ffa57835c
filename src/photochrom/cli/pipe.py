"""A photo that comes through stdin, or an output that goes to stdout."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import typer

from .call import Call
from .console import exit_on
from .report import details, json_line

DEVICES = ("-", "/dev/stdin", "/dev/stdout", "/dev/fd/0", "/dev/fd/1")


def uses_pipe(photos: list[str], out: str | None) -> bool:
    """Return whether a photo is to be read from stdin or an output written to stdout."""
    return any(name in DEVICES for name in (*photos, out))


def colorize_pipe(call: Call) -> None:
    """Colorize stdin or a file, and write it to stdout or a file.

    The format is that of --format, of the name of the output, or of the photo. Raises ValueError for a call that a pipe
    cannot serve; exits with code 1 where the photo cannot be read or written.
    """
    from ..imaging.errors import PhotoError, photo_errors, printable
    from ..imaging.photo import open_photo
    from ..inference.batch import check_batch
    from ..inference.bundle import BundleError
    from ..inference.colorizer import Colorizer
    from ..inference.plan import Task
    from ..inference.processing import Outcome

    _check(call)
    photo, out = call.photos[0], call.out or "-"
    colorizer = Colorizer(call.model, device=call.device)
    check_batch(colorizer, call.options.color, call.extras, 1)

    name = "stdin" if photo in DEVICES else None
    task = Task(name or photo, out, tuple(call.options.color.seeds))

    def colorize() -> tuple[bytes, Outcome]:
        start = time.perf_counter()
        source = Path(photo) if name is None else sys.stdin.buffer.read()
        opened = open_photo(source, call.options.max_pixels, name, call.options.page)
        (result,) = colorizer.colorize_photo(opened, call.options.color)
        content = b""
        if out in DEVICES:
            content = result.to_bytes(call.suffix or None)
        else:
            with photo_errors(printable(out), "written"):
                Path(out).parent.mkdir(parents=True, exist_ok=True)
            result.save(out, call.options.overwrite)
        size, seconds = (opened.width, opened.height), time.perf_counter() - start
        return content, Outcome(task, files=(out,), notes=tuple(opened.reader.notes), size=size, seconds=seconds)

    with exit_on(PhotoError, BundleError, code=1):
        # In a thread of its own, so that this one can answer Ctrl-C.
        content, outcome = ThreadPoolExecutor(1).submit(colorize).result()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
    if call.mode.verbose:
        typer.echo(details(outcome), err=True)
    if call.mode.as_json:  # beside an image on stdout, it is for stderr
        mode = replace(call.mode, model=(colorizer.card.name, colorizer.card.weights))
        typer.echo(json_line(outcome, mode), err=bool(content))
    if not call.mode.quiet:
        if not content and not call.mode.as_json:
            typer.echo(printable(out))
        for note in outcome.notes:
            typer.echo(f"{printable(name or photo)}: {note}", err=True)


def _check(call: Call) -> None:
    """Raise ValueError for a call that a pipe cannot serve."""
    from ..imaging.paths import is_folder

    unsupported = {
        **{"--cluster": call.cluster, "--manifest": call.manifest, "--dry-run": call.mode.dry_run},
        **{"--variants": call.options.color.variants > 1},
        **{f"--{extra}": True for extra in call.extras},
    }
    for option, value in unsupported.items():
        if value:
            raise ValueError(f"{option}: not supported with -, which is one photo and one output")
    if len(call.photos) > 1 or is_folder(call.photos[0]):
        raise ValueError("-: is one photo and its output; colorize others separately")
    if call.photos[0] in DEVICES and sys.stdin.isatty():
        raise ValueError("-: stdin is a terminal; send a photo into it, for example with < scan.jpg")
    if (call.out or "-") in DEVICES:
        if sys.stdout.isatty():
            raise ValueError("-: stdout is a terminal, which shows no images; add -o FILE or > FILE")
    elif call.suffix:
        raise ValueError("--format: the name given with -o decides the format; leave out one of them")
