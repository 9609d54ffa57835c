"""A run over many photos, in one process or several, which can be stopped and resumed."""

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Unpack

from ..imaging.limits import MAX_PIXELS
from ..imaging.sources import Passed
from .colorizer import Colorizer, StrPath
from .options import ColorKeywords, ColorOptions, check_stochastic, merge_options
from .plan import Task, find_suffix, plan
from .processing import BATCH, BatchOptions, Outcome, preview, process_batch
from .workers import start_workers, suggest_jobs


def check_batch(colorizer: Colorizer, color: ColorOptions, extras: Sequence[str], photos: int) -> None:
    """Raise ValueError for options that the model does not support or that do not fit the number of photos."""
    name = colorizer.card.name
    colorizer.card.inference_size(color.size)
    colorizer = colorizer.configured(color)
    check_stochastic(name, colorizer.procedure.capabilities.stochastic, color, extras, "--")
    if "trace" in extras and not colorizer.procedure.capabilities.iterative:
        raise ValueError(f"{name} has no steps to show; --trace needs an iterative model, for example ddpm")
    if "uncertainty" in extras and color.variants < 2:
        raise ValueError("--uncertainty compares variants; add for example --variants 8")
    if color.hints and photos != 1:
        raise ValueError(f"--hint and --hints apply to one photo, and there are {photos}; colorize it separately")


def colorize_batch(
    colorizer: Colorizer, tasks: Sequence[Task], options: BatchOptions, jobs: int = 1
) -> Generator[Outcome]:
    """Colorize photos and yield their outcomes in the order of the tasks; a failed photo does not stop the others.

    `jobs`: number of worker processes, which share the processors; 1 for this process alone. Close the generator (or
    interrupt it) to stop: only whole files remain.
    """
    colorizer = colorizer.configured(options.color)
    stop = threading.Event()
    # Fill the model's batches with the variants of several photos, but leave several batches for every process, so that
    # all end at about the same time. Hints are those of one photo.
    variants = len(tasks[0].seeds) if tasks else 1
    size = 1 if options.color.hints else max(1, min(BATCH // variants, len(tasks) // (4 * jobs)))
    batches = {start: queue.SimpleQueue[Outcome | None]() for start in range(0, len(tasks), size)}

    def run(start: int) -> None:
        process = idle.get()
        try:
            for outcome in process(tasks[start : start + size]):
                batches[start].put(outcome)
        finally:
            idle.put(process)
            batches[start].put(None)

    idle = queue.SimpleQueue[Callable[[Sequence[Task]], Iterator[Outcome]]]()
    with ExitStack() as workers:
        pool = ThreadPoolExecutor(jobs)
        # Who interrupts a run waits for an answer, not for the end of a photo.
        workers.push(lambda error, *_: pool.shutdown(wait=error is not KeyboardInterrupt, cancel_futures=True))
        workers.callback(stop.set)
        if jobs == 1:
            idle.put(partial(process_batch, colorizer, options=options, stop=stop))
        else:
            for worker in workers.enter_context(start_workers(colorizer, options, min(jobs, len(batches)))):
                idle.put(worker.colorize)
        futures = [pool.submit(run, start) for start in batches]
        for outcomes in batches.values():
            yield from iter(outcomes.get, None)
    for future in futures:
        future.result()


def colorize_many(  # noqa: PLR0913 - each is an option of the command
    photos: StrPath | Sequence[StrPath],
    model: str | Path | Colorizer = "default",
    *,
    out: StrPath | None = None,
    overwrite: bool = False,
    hidden: bool = False,
    jobs: int | None = None,
    extras: Sequence[str] = (),
    passed: Passed | None = None,
    page: int | None = None,
    max_pixels: int = MAX_PIXELS,
    format: str | None = None,
    dry_run: bool = False,
    **settings: Unpack[ColorKeywords],
) -> Generator[Outcome]:
    """Colorize the photos among files and folders by the rules of `photochrom colorize`, and yield each outcome.

    Args:
        photos: one path or several, of photos and of folders, which are searched.
        model: name of an installed model, path of a bundle, or a `Colorizer`.
        out: folder of the outputs, or the output file of one photo; by default `NAME-color.EXT` beside a photo, and
            `FOLDER-color` for a folder.
        overwrite: whether existing outputs are replaced; they are skipped otherwise. Files that Photochrom did not
                make are never replaced: the photo fails.
        hidden: whether hidden files and folders are included.
        jobs: number of worker processes; by default one for each processor if the photos are worth it.
        extras: images to write about the outputs, of `EXTRAS`.
        passed: a `collections.Counter` that gets the number of files passed over in folders, by kind.
        page: page to read, from 1; None: the first that is not reduced in size.
        max_pixels: largest photo; a pixel of a file that is decoded in memory counts several times.
        format: format of all outputs, such as `png`; by default that of each photo.
        dry_run: whether nothing is written; the outcomes have the files that would be.
        settings: as for `Colorizer`.

    Raises:
        ValueError: an option is invalid or not supported by the model, or two outputs would be one file.
        BundleError: as `Colorizer`.
    """
    sources = [photos] if isinstance(photos, str | os.PathLike) else photos
    options = BatchOptions(merge_options(**settings), overwrite, max_pixels, page)
    paths = [Path(source) for source in sources]
    suffix = find_suffix(format) if format else ""
    tasks = plan(paths, Path(out) if out else None, options.color.seeds, extras, suffix, hidden, passed)
    open_model = Colorizer.without_networks if dry_run else Colorizer
    colorizer = model if isinstance(model, Colorizer) else open_model(model)
    check_batch(colorizer, options.color, extras, len(tasks))
    if dry_run:
        return preview(colorizer, tasks, options)
    return colorize_batch(colorizer, tasks, options, jobs or suggest_jobs(colorizer, tasks, options))
