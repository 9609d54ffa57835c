"""Films among the photos of a run, and one film by itself."""

import os
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Unpack

from ..imaging.errors import PhotoError, printable
from ..imaging.limits import MAX_PIXELS
from ..inference.bundle import BundleError
from ..inference.colorizer import Colorizer, StrPath
from ..inference.options import ColorKeywords, check_stochastic, merge_options
from ..inference.plan import Task
from ..inference.processing import Outcome, SkipReason
from .film import ColorizedFilm, FilmOptions, Progress, colorize_film, preview_shots, silent
from .hints import FilmHint
from .reading import Film

MAX_CRF = 51


def check_film_options(colorizer: Colorizer, options: FilmOptions, extras: Sequence[str] = ()) -> None:
    """Raise ValueError for options that films or the model do not support."""
    color, name = options.color, colorizer.card.name
    colorizer.card.inference_size(color.size)
    check_stochastic(name, colorizer.configured(color).procedure.capabilities.stochastic, color, extras, "--")
    if color.variants > 1 or extras:
        raise ValueError("variants, their maps and --trace are for photos; colorize a film once for each --seed")
    if color.hints:
        raise ValueError("a hint for a film begins with the number of a frame: write it as frame,x,y,#rrggbb")
    if not 0 <= options.crf <= MAX_CRF:
        raise ValueError(f"crf {options.crf}: must be an integer from 0 to {MAX_CRF}")


def colorize_films(
    colorizer: Colorizer,
    tasks: Sequence[Task],
    options: FilmOptions,
    progress: Progress = silent,
    dry_run: bool = False,
    preview_is_sheet: bool = False,
) -> Generator[Outcome]:
    """Colorize films and yield their outcomes; one that fails does not stop the others.

    ``preview_is_sheet``: instead of films, make contact sheets of their shots, `NAME-shots.jpg`.
    """
    for task in tasks:
        source, target = Path(task.source), Path(task.target)
        if preview_is_sheet:
            target = target.with_name(f"{target.stem}-shots.jpg")
        elif options.preview is not None:
            target = target.with_name(f"{target.stem}-preview{target.suffix}")
        if target.exists() and not options.overwrite:
            yield Outcome(task, SkipReason.EXISTS)
            continue
        try:
            if dry_run:
                with Film(source, options.max_pixels) as film:
                    yield Outcome(task, files=(target,), size=(film.width, film.height))
                continue
            if preview_is_sheet:
                yield Outcome(task, files=(preview_shots(colorizer, source, target, options, progress),))
                continue
            made = colorize_film(colorizer, source, target, options, progress)
        except (PhotoError, BundleError) as error:
            yield Outcome(task, str(error))
        else:
            notes = (*made.notes, f"its luma differs from the original's by {made.luma_error:.1f} of 255 on average")
            yield Outcome(task, files=(target,), notes=notes, size=made.size, seconds=made.seconds)


def colorize_video(  # noqa: PLR0913 - each is an option of the command
    film: StrPath,
    model: str | Path | Colorizer = "default",
    *,
    output: StrPath | None = None,
    crf: int = 16,
    preview: float | None = None,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    progress: Progress = silent,
    frame_hints: Sequence[str] = (),
    **settings: Unpack[ColorKeywords],
) -> ColorizedFilm:
    """Colorize a film, with its sound, subtitles, chapters and metadata, by the rules of `photochrom colorize`.

    Args:
        film: path of the film.
        model: name of an installed model, path of a bundle, or a `Colorizer`.
        output: path of the film to write, whose suffix decides the container; by default `NAME-color.EXT` beside it.
        crf: constant rate factor of the encoder: 0 best, 51 worst.
        preview: seconds from the start after which the output ends.
        overwrite: whether an existing film that Photochrom made may be replaced.
        max_pixels: largest frame.
        progress: called with the seconds that are done, and those of the whole film (None if they are not known).
        frame_hints: colors at places of frames, written ``frame,x,y,#rrggbb``; each holds for its shot.
        settings: as for `Colorizer`, without hints.

    Raises:
        PhotoError: the film cannot be read; `FileExists` or `WriteError` when writing.
        ValueError: an option is invalid or not supported by films or the model.
    """
    colorizer = model if isinstance(model, Colorizer) else Colorizer(model)
    hints = tuple(map(FilmHint.parse, frame_hints))
    options = FilmOptions(merge_options(**settings), crf, preview, overwrite, max_pixels, hints)
    check_film_options(colorizer, options)
    source = Path(film)
    label = "-color" if preview is None else "-color-preview"
    target = source.with_name(f"{source.stem}{label}{source.suffix}") if output is None else Path(output)
    if os.path.realpath(source) == os.path.realpath(target):
        raise ValueError(f"{printable(target)}: is the original, which is never overwritten; choose another output")
    return colorize_film(colorizer, source, target, options, progress)
