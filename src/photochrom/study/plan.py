"""The trainings, bundles and measurements of a study, as jobs."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from ..imaging.atomic import atomic_write
from ..training.checkpoint import point_name
from ..training.recipe import Recipe, override, parse, read, resolved
from .jobs import Job
from .spec import PREVIOUS, Stage, Study, StudyError

NEVER = 10**9  # steps after which a trial of a search is validated again, before its end
SEARCH_PHOTOS = 96  # on which the trials of a search are compared


@dataclass(frozen=True)
class Places:
    """The photos that a study trains on and tests on (none: those that the trainings hold out), and its folder."""

    data: tuple[Path, ...]
    test: tuple[Path, ...]
    out: Path


@dataclass(frozen=True)
class Model:
    """A family trained on a number of images (None: all) with a seed, after a share of its budget."""

    family: str
    images: int | None
    seed: int
    point: float
    bundle: Path
    measures: Path  # what `measurement` writes about it


@dataclass(frozen=True)
class Plan:
    """The jobs of a study, in an order in which they can run, and what they make."""

    jobs: tuple[Job, ...]
    models: tuple[Model, ...]
    costs: Mapping[str, Path]  # by family, of the last model trained with the first seed
    strips: Mapping[str, Path]  # by family: some photos that this model colorized
    searches: Mapping[str, Path]  # by the name of the job: what `search` writes


@dataclass(frozen=True)
class _Training:
    """The job that trains a stage; ``run`` is its folder, ``digest`` differs for everything that decides the result."""

    job: Job
    run: Path
    digest: str
    stage: Stage


def _training_name(family: str, images: int | None, seed: int) -> str:
    return f"{family} {images or 'all'} seed {seed}"


def plan_study(study: Study, places: Places) -> Plan:
    """Return the plan of a study. Raises StudyError or RecipeError for recipes that cannot be run or compared."""
    return _Planner(study, places).plan()


class _Planner:
    def __init__(self, study: Study, places: Places) -> None:
        self.study, self.places = study, places
        self.recipes = {name: list(map(self._read, stages)) for name, stages in study.families.items()}
        self.searches: dict[tuple[str, int], Job] = {}  # by family and number of the stage

    def plan(self) -> Plan:
        axes = self.study.axes
        jobs: list[Job] = []
        models: list[Model] = []
        last: list[Model] = []  # of each family: the most images, the first seed, the end of the training
        if self.study.search:
            for family in self.study.families:
                jobs += self._search(family)
        for seed, images, family in product(axes.seeds, axes.images or (None,), self.study.families):
            trainings = self._train(family, images, seed)
            jobs += [training.job for training in trainings]
            points, test = self._measure(family, images, seed, trainings)
            models += points
            jobs.append(test)
            if seed == axes.seeds[0] and images == (axes.images or (None,))[-1]:
                last.append(models[-1])
        measured = {job.file: job for job in jobs}
        costs, strips = {}, {}
        for model in last:
            family, bundle = model.family, model.bundle
            costs[family] = model.measures.with_name(f"{model.measures.stem} cost.json")
            strips[family] = costs[family].with_suffix(".jpg")
            command = self._measurement("finish", bundle=str(bundle), out=str(costs[family]), strip=str(strips[family]))
            jobs.append(Job(f"{family} cost", costs[family], command, (measured[model.measures],), 0.2, alone=True))
        searches = {job.name: job.file for job in self.searches.values()}
        return Plan(tuple(jobs), tuple(models), costs, strips, searches)

    def _read(self, stage: Stage) -> Recipe:
        return read(stage.recipe, [*self.study.set, *stage.set], self.places.data)

    @property
    def held_out(self) -> float:
        """The share of the data that all trainings hold out, where that is the test set; else 1."""
        if self.places.test:
            return 1.0
        shares = {recipe.data.validation for recipes in self.recipes.values() for recipe in recipes}
        if len(shares) > 1 or 0 in shares:
            values = ", ".join(f"{share:g}" for share in sorted(shares))
            raise StudyError(f"data.validation is {values}: without --test, all recipes must hold out the same photos")
        return shares.pop()

    def _search(self, family: str) -> list[Job]:
        """Return a job for each stage, whose output names the best settings and the run of the best trial."""
        search, jobs = self.study.search, []
        assert search
        for number, (stage, recipe) in enumerate(zip(self.study.families[family], self.recipes[family], strict=True)):
            share = stage.share * search.share
            recipe = self._limited(recipe, share, self.study.axes.seeds[0], self.study.axes.images[-1:], ())
            trainer = replace(recipe.trainer, validate_every=NEVER, validate_photos=SEARCH_PHOTOS)
            recipe = replace(recipe, trainer=trainer)
            digest = _digest(resolved(recipe), stage.init, search)
            file = self.places.out / "search" / f"{family} {number + 1} {digest}.json"
            previous = (self.searches[family, number - 1],) if stage.init == PREVIOUS else ()

            def command(
                file: Path = file, recipe: Recipe = recipe, stage: Stage = stage, previous: tuple[Job, ...] = previous
            ) -> list[str]:
                init = json.loads(previous[0].file.read_text())["run"] if previous else stage.init
                keys = {key: list(limits) for key, limits in search.keys.items()}
                settings = {"keys": keys, "trials": search.trials, "metric": search.metric, "init": init}
                arguments = {"recipe": resolved(recipe), "out": str(file), **settings}
                return [sys.executable, "-m", "photochrom.study.search", json.dumps(arguments)]

            job = Job(f"{family} search {number + 1}", file, command, previous, search.trials * share)
            self.searches[family, number] = job
            jobs.append(job)
        return jobs

    def _train(self, family: str, images: int | None, seed: int) -> list[_Training]:
        name = _training_name(family, images, seed)
        trainings: list[_Training] = []
        for number, (stage, recipe) in enumerate(zip(self.study.families[family], self.recipes[family], strict=True)):
            amount = () if images is None else (images,)
            recipe = self._limited(recipe, stage.share, seed, amount, self.study.axes.points)
            before = trainings[-1] if stage.init == PREVIOUS else None
            digest = _digest(resolved(recipe), stage.init, before and before.digest, self.study.search)
            run = self.places.out / "runs" / f"{name} {number + 1} {digest}"
            search = self.searches.get((family, number))
            needs = [job for job in (search, before and before.job) if job]
            command = partial(_train_command, recipe, run, str(before.run) if before else stage.init, search)
            file = run / f"{point_name(1)}.safetensors"
            title = name if len(self.recipes[family]) == 1 else f"{name} stage {number + 1}"
            trainings.append(_Training(Job(title, file, command, tuple(needs), stage.share), run, digest, stage))
        return trainings

    def _limited(
        self, recipe: Recipe, share: float, seed: int, images: Sequence[int], points: tuple[float, ...]
    ) -> Recipe:
        """Return a recipe with its share of the budget, on one device.

        It is not validated, so that no family spends its budget on that.
        """
        trainer = replace(
            recipe.trainer,
            **self.study.budget.trainer(share, recipe.trainer.batch),
            seed=seed,
            devices=1,
            nodes=1,
            points=points,
            validate_every=0,
            sample_every=0,
        )
        data = replace(recipe.data, images=images[0] if images else recipe.data.images)
        return replace(recipe, data=data, trainer=trainer)

    def _measure(
        self, family: str, images: int | None, seed: int, trainings: Sequence[_Training]
    ) -> tuple[list[Model], Job]:
        """Return the models of a training, one for each point, and the job that exports and measures them."""
        exported = [training for training in trainings if training.stage.exported]
        name, digest = _training_name(family, images, seed), _digest(*(training.digest for training in exported))
        settings = self._settings()
        models = []
        for point in self.study.axes.points:
            files = f"{name} {point_name(point)} {digest}"
            measures = self.places.out / "measures" / f"{files} {_digest(settings)}.json"
            models.append(Model(family, images, seed, point, self.places.out / "models" / files, measures))
        tasks = [
            {"checkpoint": point_name(model.point), "bundle": str(model.bundle), "out": str(model.measures)}
            for model in models
        ]
        runs: dict[bool, list[str]] = {True: [], False: []}  # by whether they are exported
        for training in trainings:
            runs[training.stage.exported].append(str(training.run))
        command = self._measurement("measure", runs=runs[True], earlier=runs[False], models=tasks)
        needs = tuple(training.job for training in trainings)
        return models, Job(f"{name} test", models[-1].measures, command, needs, 0.3)

    def _settings(self) -> dict[str, Any]:
        """Return what decides a measurement, for `measurement`."""
        test, sources = self.study.test, self.places.test or self.places.data
        return {
            "photos": test.photos,
            "sources": list(map(str, sources)),
            "held_out": self.held_out,
            "protocol": test.protocol,
            "samples": test.samples,
        }

    def _measurement(self, task: str, **arguments: Any) -> Callable[[], list[str]]:
        cache = str(self.places.out / "cache")
        content = json.dumps({"task": task, "cache": cache, **self._settings(), **arguments})
        return lambda: [sys.executable, "-m", "photochrom.study.measurement", content]


def _train_command(recipe: Recipe, run: Path, init: str, search: Job | None) -> list[str]:
    """Return the command that begins or continues a run, after writing its recipe."""
    tables = resolved(recipe)
    for assignment in json.loads(search.file.read_text())["set"] if search else ():
        override(tables, assignment)
    path = run.with_name(f"{run.name}.json")
    with atomic_write(path, overwrite=True) as file:
        file.write(json.dumps(resolved(parse(tables, str(path))), indent=2).encode())
    command = _photochrom("train", str(path), "-o", str(run), *(["--init", init] if init else []))
    return [*command, "--resume"] if (run / "last.safetensors").exists() else command


def _photochrom(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "photochrom", *arguments]


def _digest(*content: Any) -> str:
    return hashlib.sha256(repr(content).encode()).hexdigest()[:8]
