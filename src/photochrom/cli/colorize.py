"""The command that colorizes photos."""

import math
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ..imaging.limits import MAX_PIXELS
from .call import Call
from .console import exit_on, fail, is_installed, loading, notify, stopping
from .options import Device, LocalSaturation, Model, Saturation, Seed, Size, Strength, Warmth, limited
from .pipe import colorize_pipe, uses_pipe
from .report import FilmBar, Mode, describe, report

if TYPE_CHECKING:
    from ..imaging.sources import Passed
    from ..inference.colorizer import Colorizer
    from ..inference.plan import Task
    from ..inference.processing import Outcome

    Started: TypeAlias = tuple[list[Task], Generator[Outcome]]

ADVICE = "; run the same command again to continue"
HINT = "Color of a pixel, written x,y,#rrggbb, for a film frame,x,y,#rrggbb; repeatable."
FILM_HINT_COMMAS = 3
SHOTS = "shots"
CRF = "Constant rate factor of films: 0 best, 51 worst."
PREVIEW = "Seconds of films to colorize, from their start; or shots, for a picture with one frame of each shot."
OUT = "Output folder, or output file for one photo; - is stdout."
FORMAT = "Format of all outputs: avif, jpg, png, tif or webp; by default that of each photo."

VARIANTS = "Number of results, with seeds counting up, and a contact sheet of them."
NEAR = "Seed of a result that the results are to be like (stochastic models only)."
DISTANCE = "How far results may be from that of --near: 0 = the same, 1 = any."
SOLVERS = (
    "Sampler to use (classify: mean, sample; diffusion: ddim, ancestral, dpm-solver; cold: improved, naive, one-shot; "
    "coltran: sample, greedy)."
)
TEMPERATURE = "Randomness of sampling: below 1 safer colors, above 1 bolder ones."
PAGE = "Page of files that have several; by default the first that is not reduced in size."
LIMIT = "Refuse photos with more pixels; those of formats that are decoded in memory count several times."
CLUSTER = "Run on a Dask cluster: local, local:2, or the address of a scheduler."
JOBS = "Number of worker processes; by default one per processor, or none for few photos."
SETTINGS = "File of settings that the web page saved; options that are given have priority."
MANIFEST = "File that records what was done with each photo (with --cluster)."


def colorize(  # noqa: PLR0913 - each is an option of the command
    context: typer.Context,
    photos: Annotated[list[str], typer.Argument(help="Photos and films, or folders that are searched; - is stdin.")],
    out: Annotated[str | None, typer.Option("-o", "--out", help=OUT)] = None,
    image_format: Annotated[str | None, typer.Option("--format", help=FORMAT)] = None,
    model: Model = "default",
    seed: Seed = 0,
    saturation: Saturation = 1.0,
    strength: Strength = None,
    near: Annotated[int | None, limited("near", NEAR)] = None,
    distance: Annotated[float, limited("distance", DISTANCE)] = 0.3,
    warmth: Warmth = 0.0,
    local_saturation: LocalSaturation = 1.0,
    size: Size = None,
    variants: Annotated[int, limited("variants", VARIANTS)] = 1,
    steps: Annotated[int | None, limited("steps", "Number of sampling steps; the model's own by default.")] = None,
    solver: Annotated[str | None, typer.Option(help=SOLVERS)] = None,
    eta: Annotated[float | None, limited("eta", "Noise added at each step of ddim: 0 none, 1 ancestral.")] = None,
    temperature: Annotated[float | None, limited("temperature", TEMPERATURE)] = None,
    hint: Annotated[list[str] | None, typer.Option(help=HINT)] = None,
    hints: Annotated[Path | None, typer.Option(help="Text file with one x,y,#rrggbb per line.")] = None,
    settings: Annotated[Path | None, typer.Option(help=SETTINGS)] = None,
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Write a map of where variants differ.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Write a strip of the colors at each sampling step.")] = False,
    device: Device = "auto",
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help=JOBS)] = None,
    page: Annotated[int | None, typer.Option(min=1, help=PAGE)] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help=LIMIT)] = MAX_PIXELS,
    crf: Annotated[int, typer.Option(min=0, max=51, help=CRF)] = 16,
    preview: Annotated[str | None, typer.Option(help=PREVIEW)] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs (no other files).")] = False,
    hidden: Annotated[bool, typer.Option("--hidden", help="Include hidden files and folders.")] = False,
    cluster: Annotated[str | None, typer.Option(help=CLUSTER)] = None,
    manifest: Annotated[Path | None, typer.Option(help=MANIFEST)] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be written, and write nothing.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print size, time and notes of each photo.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result of each photo as a line of JSON.")] = False,
) -> None:
    """Colorize photos and films; the originals are never changed.

    The output of a file is NAME-color.EXT beside it; outputs of a folder are in FOLDER-color. Stop at any time and run
    again: existing outputs are skipped. Exit code 1 when a photo failed, each named with its reason.
    Variants are NAME-color-SEED.EXT, images about them NAME-color-SEEDS-sheet.jpg, -uncertainty.jpg and -trace.jpg.
    The photo - is read from stdin, and its output is written to stdout.
    """
    with loading():
        from ..cluster import ClusterError, ManifestError
        from ..inference.hints import read_hints
        from ..inference.options import ColorOptions, merge_options, parse_hints
        from ..inference.plan import EXTRAS, find_suffix
        from ..inference.processing import BatchOptions
        from ..inference.settings import read_settings

    saturation = saturation if strength is None else strength
    with exit_on(ManifestError), exit_on(ClusterError, code=1), exit_on(ValueError), stopping(ADVICE):
        if quiet and verbose:
            raise ValueError("--quiet and --verbose: choose one")
        film_hints = [text for text in hint or () if text.count(",") == FILM_HINT_COMMAS]
        photo_hints = [text for text in hint or () if text not in film_hints]
        color = ColorOptions(
            saturation=saturation,
            near=near,
            distance=distance,
            warmth=warmth,
            local_saturation=local_saturation,
            size=size,
            seed=seed,
            variants=variants,
            hints=parse_hints([*photo_hints, *(read_hints(hints) if hints else ())]),
            steps=steps,
            solver=solver,
            eta=eta,
            temperature=temperature,
        )
        if settings:
            saved = read_settings(settings)
            others = {name: value for name, value in saved.options.items() if not _is_given(context, name)}
            page, model = others.pop("page", page), model if _is_given(context, "model") else saved.model
            color = merge_options(color, **others)
            if "hints" in others and color.hints and len(photos) == 1:
                saved.check_photo(Path(photos[0]), page)
        if color.near is None and _is_given(context, "distance"):
            raise ValueError("--distance: needs --near, the seed of a result to stay near to")
        selected = dict(zip(EXTRAS, (color.variants > 1, uncertainty, trace), strict=True))
        call = Call(
            photos=photos,
            out=out,
            model=model,
            options=BatchOptions(color, overwrite, max_pixels, page),
            extras=[extra for extra in EXTRAS if selected[extra]],
            suffix=find_suffix(image_format) if image_format else "",
            hidden=hidden,
            device=device,
            jobs=jobs,
            cluster=cluster,
            manifest=manifest,
            crf=crf,
            preview=None if preview in (None, SHOTS) else _seconds(preview),
            preview_shots=preview == SHOTS,
            film_hints=film_hints,
            mode=Mode(quiet, verbose, as_json, dry_run),
        )
        if uses_pipe(photos, out):
            colorize_pipe(call)
        else:
            _colorize_files(call)


def _seconds(text: str) -> float:
    """Return the seconds of a preview. Raises ValueError for a text that is no number above 0."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise ValueError(f"--preview {text}: give a number of seconds, or {SHOTS}")
    return seconds


def _is_given(context: typer.Context, option: str) -> bool:
    """Return whether an option stands on the command line; hints may be given in two ways."""
    names = {"hints": ("hint", "hints"), "saturation": ("saturation", "strength")}.get(option, (option,))
    sources = {getattr(context.get_parameter_source(name), "name", "") for name in names}
    return "COMMANDLINE" in sources


def _colorize_files(call: Call) -> None:
    from ..imaging.errors import printable
    from ..imaging.sources import Passed
    from ..inference.colorizer import Colorizer

    passed, model, films = Passed(), Colorizer.without_networks(call.model), FilmBar()
    tasks, outcomes = _start_cluster(call, model, passed) if call.cluster else _start(call, model, passed, films)
    if not tasks:
        names = ", ".join(map(printable, call.photos))
        fail("; ".join([f"no photos in {names}", *describe(passed)]), 1)
    with closing(outcomes):
        mode = replace(call.mode, model=(model.card.name, model.card.weights))
        report(tasks, outcomes, passed, mode, films.attach)


def _start(call: Call, model: "Colorizer", passed: "Passed", progress: FilmBar) -> "Started":
    from ..imaging.films import FILM_OUTPUTS, FILM_SUFFIXES
    from ..inference.batch import check_batch, colorize_batch
    from ..inference.colorizer import Colorizer
    from ..inference.plan import plan
    from ..inference.processing import preview
    from ..inference.workers import suggest_jobs

    if call.manifest or any("://" in location for location in (*call.photos, call.out or "")):
        raise ValueError(f"{'--manifest' if call.manifest else 'addresses'}: only with --cluster, for example local")
    paths, out = [Path(photo) for photo in call.photos], Path(call.out) if call.out else None
    # Where the extra is missing, films that are named ask for it, and those in folders are passed over.
    is_asked = any(path.suffix.lower() in FILM_SUFFIXES and path.exists() for path in paths)
    has_films = call.options.page is None and (is_asked or is_installed("video"))
    tasks = plan(paths, out, **call.outputs(passed), films=has_films)
    films = [task for task in tasks if has_films and Path(task.target).suffix.lower() in FILM_OUTPUTS]
    photos = [task for task in tasks if task not in films]
    if photos or not films:
        check_batch(model, call.options.color, call.extras, len(photos))
    if call.mode.dry_run:
        outcomes = preview(model, photos, call.options)
    else:
        colorizer = Colorizer(call.model, device=call.device)
        jobs = call.jobs or suggest_jobs(colorizer, photos, call.options)
        outcomes = colorize_batch(colorizer, photos, call.options, jobs)
        model = colorizer
    if not films:
        if call.film_hints:
            raise ValueError("--hint frame,x,y,#rrggbb: is for films, and there are none")
        return tasks, outcomes
    return [*photos, *films], _with_films(outcomes, _start_films(call, model, films, progress))


def _start_films(call: Call, colorizer: "Colorizer", films: "list[Task]", progress: FilmBar) -> "Generator[Outcome]":
    with loading("video"):
        from ..video.batch import check_film_options, colorize_films
        from ..video.film import FilmOptions
        from ..video.hints import FilmHint

    if call.film_hints and len(films) > 1:
        raise ValueError(f"--hint applies to one film, and there are {len(films)}; colorize it separately")
    hints = tuple(map(FilmHint.parse, call.film_hints))
    color, overwrite, max_pixels = call.options.color, call.options.overwrite, call.options.max_pixels
    options = FilmOptions(color, call.crf, call.preview, overwrite, max_pixels, hints)
    check_film_options(colorizer, options, call.extras)
    return colorize_films(colorizer, films, options, progress, call.mode.dry_run, call.preview_shots)


def _with_films(photos: "Generator[Outcome]", films: "Generator[Outcome]") -> "Generator[Outcome]":
    with closing(photos), closing(films):
        yield from photos
        yield from films


def _start_cluster(call: Call, model: "Colorizer", passed: "Passed") -> "Started":
    with loading("cluster"):
        from ..cluster import run

    assert call.cluster
    if call.mode.dry_run:
        raise ValueError("--dry-run: leave out --cluster, which would write the same files; not for addresses")
    if call.device != "auto":
        raise ValueError("--device is for one process; the workers of a cluster choose their own")
    if call.jobs:
        raise ValueError(f"--jobs is for one process; --cluster local:{call.jobs} starts {call.jobs} workers")
    outputs = call.outputs(passed)
    return run.colorize_photos(call.photos, call.out, model, call.options, outputs, call.cluster, call.manifest, notify)
