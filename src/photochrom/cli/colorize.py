"""The command that colorizes photos."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from ..imaging.limits import MAX_PIXELS
from .console import describe, exit_on, fail, loading, notify, report
from .options import Device, Model, Saturation, Seed, Size, Strength, limited

VARIANTS = "Number of results, with seeds counting up, and a contact sheet of them."
SOLVERS = (
    "Sampler to use (classify: mean, sample; diffusion: ddim, ancestral, dpm-solver; cold: improved, naive, one-shot; "
    "coltran: sample, greedy)."
)
TEMPERATURE = "Randomness of sampling: below 1 safer colors, above 1 bolder ones."
PAGE = "Page of files that have several; by default the first that is not reduced in size."
LIMIT = "Refuse photos with more pixels; those of formats that are decoded in memory count several times."
CLUSTER = "Run on a Dask cluster: local, local:2, or the address of a scheduler."
JOBS = "Number of worker processes; by default one per processor, or none for few photos."
MANIFEST = "File that records what was done with each photo (with --cluster)."


def colorize(  # noqa: PLR0913 - each is an option of the command
    photos: Annotated[list[str], typer.Argument(help="Photos, or folders that are searched for photos.")],
    out: Annotated[str | None, typer.Option("-o", "--out", help="Output folder, or output file for one photo.")] = None,
    model: Model = "default",
    seed: Seed = 0,
    saturation: Saturation = 1.0,
    strength: Strength = None,
    size: Size = None,
    variants: Annotated[int, limited("variants", VARIANTS)] = 1,
    steps: Annotated[int | None, limited("steps", "Number of sampling steps; the model's own by default.")] = None,
    solver: Annotated[str | None, typer.Option(help=SOLVERS)] = None,
    eta: Annotated[float | None, limited("eta", "Noise added at each step of ddim: 0 none, 1 ancestral.")] = None,
    temperature: Annotated[float | None, limited("temperature", TEMPERATURE)] = None,
    hint: Annotated[list[str] | None, typer.Option(help="Color of a pixel, written x,y,#rrggbb; repeatable.")] = None,
    hints: Annotated[Path | None, typer.Option(help="Text file with one such hint per line.")] = None,
    uncertainty: Annotated[bool, typer.Option("--uncertainty", help="Write a map of where variants differ.")] = False,
    trace: Annotated[bool, typer.Option("--trace", help="Write a strip of the colors at each sampling step.")] = False,
    device: Device = "auto",
    jobs: Annotated[int | None, typer.Option("-j", "--jobs", min=1, help=JOBS)] = None,
    page: Annotated[int | None, typer.Option(min=1, help=PAGE)] = None,
    max_pixels: Annotated[int, typer.Option(min=1, help=LIMIT)] = MAX_PIXELS,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing outputs.")] = False,
    hidden: Annotated[bool, typer.Option("--hidden", help="Include hidden files and folders.")] = False,
    cluster: Annotated[str | None, typer.Option(help=CLUSTER)] = None,
    manifest: Annotated[Path | None, typer.Option(help=MANIFEST)] = None,
) -> None:
    """Colorize photos; the originals are never changed.

    The output of a file is NAME-color.EXT beside it; outputs of a folder are in FOLDER-color. Stop at any time and run
    again: existing outputs are skipped. Exit code 1 when a photo failed, each named with its reason.
    Variants are NAME-color-SEED.EXT, images about them NAME-color-SEEDS-sheet.jpg, -uncertainty.jpg and -trace.jpg.
    """
    with loading():
        from ..cluster import ClusterError, ManifestError
        from ..imaging.sources import Passed
        from ..inference.batch import BatchOptions, check_batch, colorize_batch
        from ..inference.colorizer import Colorizer
        from ..inference.hints import read_hints
        from ..inference.options import ColorOptions, SamplerOptions, parse_hints
        from ..inference.plan import EXTRAS, PlanOptions, plan
        from ..inference.workers import suggest_jobs

    selected = dict(zip(EXTRAS, (variants > 1, uncertainty, trace), strict=True))
    extras = [extra for extra in EXTRAS if selected[extra]]
    saturation = saturation if strength is None else strength
    sampler: SamplerOptions = {"steps": steps, "solver": solver, "eta": eta, "temperature": temperature}
    with exit_on(ValueError):
        all_hints = parse_hints([*(hint or ()), *(read_hints(hints) if hints else ())])
        color = ColorOptions(saturation=saturation, size=size, seed=seed, variants=variants, hints=all_hints, **sampler)
        options = BatchOptions(color, overwrite, max_pixels, page)
        passed = Passed()
        outputs: PlanOptions = {"seeds": color.seeds, "extras": extras, "hidden": hidden, "passed": passed}
        if cluster:
            with loading("cluster"):
                from ..cluster import run
            if device != "auto":
                raise ValueError("--device is for one process; the workers of a cluster choose their own")
            if jobs:
                raise ValueError(f"--jobs is for one process; --cluster local:{jobs} starts {jobs} workers")
            tasks, outcomes = run.colorize_photos(photos, out, model, options, outputs, cluster, manifest, notify)
        else:
            if manifest or any("://" in location for location in [*photos, out or ""]):
                raise ValueError(f"{'--manifest' if manifest else 'addresses'}: only with --cluster, for example local")
            tasks = plan([Path(photo) for photo in photos], Path(out) if out else None, **outputs)
            colorizer = Colorizer(model, device=device)
            check_batch(colorizer, color, extras, len(tasks))
            outcomes = colorize_batch(colorizer, tasks, options, jobs or suggest_jobs(colorizer, tasks, options))
    if not tasks:
        fail("; ".join([f"no photos in {', '.join(photos)}", *describe(passed)]), 1)
    try:
        with exit_on(ManifestError), exit_on(ClusterError, code=1), closing(outcomes):
            report(tasks, outcomes, passed)
    except KeyboardInterrupt:
        fail("stopped; run the same command again to continue", 130)
