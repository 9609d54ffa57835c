"""Parameters and responses of the HTTP interface, as its OpenAPI description shows them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .._version import __version__
from ..inference.options import HINT_PATTERN, LIMITS, MAX_HINTS
from .jobs import Job, Jobs, State
from .limits import PREVIEW_LIMITS, PREVIEW_SIDE


def _limited(name: str, default: float | None, description: str) -> Any:
    low, high = LIMITS[name]
    return Field(default, ge=low, le=high, description=description)


class FilmParameters(BaseModel):
    """How to colorize a film; the defaults are those of `photochrom colorize`."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field("", max_length=255, description="File name of the upload; the output is named after it.")
    model: str = Field("", max_length=100, description="Name of a model from /models; the first one if not given.")
    seed: int = _limited("seed", 0, "Random seed (stochastic models only).")
    near: int | None = _limited("near", None, "Seed of a result that this one is to be like (stochastic models only).")
    distance: float = _limited("distance", 0.3, "How far it may be from that of near: 0 = the same, 1 = any.")
    saturation: float = _limited("saturation", 1.0, "Color saturation: 0 = grayscale, 1 = model output.")
    warmth: float = _limited("warmth", 0.0, "Above 0 warmer (more yellow), below 0 cooler (more blue).")
    local_saturation: float = _limited(
        "local_saturation", 1.0, "Difference of colors from their surroundings: 0 = none, 1 = model output."
    )
    size: int | None = _limited("size", None, "Inference size: short side in pixels; the model's own if not given.")
    steps: int | None = _limited("steps", None, "Number of sampling steps; more take longer.")
    solver: str | None = Field(None, max_length=100, description="Name of the sampler, if the model has several.")
    eta: float | None = _limited("eta", None, "Noise added at each step of ddim: 0 none, 1 ancestral.")
    temperature: float | None = _limited("temperature", None, "Below 1 safer colors, above 1 more varied ones.")

    @model_validator(mode="before")
    @classmethod
    def _accept_strength(cls, values: dict[str, Any]) -> dict[str, Any]:
        # The former name of saturation, for clients that still send it.
        if "strength" in values and "saturation" not in values:
            values["saturation"] = values.pop("strength")
        return values


class ColorParameters(FilmParameters):
    """How to colorize a photo; the defaults are those of `photochrom colorize`."""

    page: int | None = Field(
        None, ge=1, description="Page of files that have several; the first that is not reduced in size if not given."
    )
    hint: tuple[Annotated[str, Field(pattern=HINT_PATTERN)], ...] = Field(
        (), max_length=MAX_HINTS, description="Color at a pixel: x,y,#rrggbb; repeatable."
    )


class JobParameters(ColorParameters):
    """How to colorize a photo in one or several variants."""

    draft: bool = Field(False, description="Whether to leave out the outputs: color maps come sooner.")
    colors: bool = Field(True, description="Whether to predict colors; if not, only the original is shown.")
    format: str = Field("", description="Suffix of outputs, such as png; that of the photo if not given.")
    preview: int = Field(
        PREVIEW_SIDE, ge=PREVIEW_LIMITS[0], le=PREVIEW_LIMITS[1], description="Longest side of the preview, in pixels."
    )
    variants: int = _limited("variants", 1, "Number of outputs, with consecutive seeds (stochastic models only).")


class Problem(BaseModel):
    """Why a request failed."""

    detail: str


class Sampler(BaseModel):
    """A way to sample from a model. ``stochastic``: each seed gives other colors; ``options``: that it supports."""

    stochastic: bool
    options: list[str]


class Model(Sampler):
    """A model, and its own sampler. ``suggests``: it knows the likely colors of a place; ``solvers``: all samplers."""

    path: str = Field(exclude=True)  # not shown to clients
    name: str
    family: str
    summary: str
    size: int
    suggests: bool
    solvers: dict[str, Sampler]
    licence: str


class Health(BaseModel):
    """State of the server; ``retention``: seconds after the last request for a photo until it is deleted."""

    status: Literal["ok"] = "ok"
    version: str = __version__
    waiting: int
    workers: int
    retention: float


class ColorMap(BaseModel):
    """The colors of a photo at the size at which the model works: its address and size.

    The bytes are little-endian int16 (2, height, width): a and b of Lab, times 64.
    """

    address: str
    width: int
    height: int


class LikelyColor(BaseModel):
    """A likely color of a place, and its probability."""

    color: str
    probability: float


class Output(BaseModel):
    """A colorized photo: its seed and file name, and the address of the file (null in drafts)."""

    seed: int
    name: str
    photo: str | None
    colors: ColorMap


class Status(BaseModel):
    """State of a job. ``ahead``: photos that wait before it; ``notes``: what was left out; null: not known yet."""

    id: str
    name: str
    state: State
    ahead: int
    width: int | None
    height: int | None
    before: str | None
    seeds: list[int]
    copies: list[Output]
    notes: list[str]
    seconds: float | None
    problem: str | None


def job_status(jobs: Jobs, job: Job) -> Status:
    """Return the state of a job."""
    address, opened, outputs = f"/jobs/{job.id}", job.opened, []
    for seed in job.seeds:
        height, width = job.shapes[seed]
        colors = ColorMap(address=f"{address}/colors/{seed}", width=width, height=height)
        photo = f"{address}/photo/{seed}" if job.request.outputs else None
        outputs.append(Output(seed=seed, name=job.title(seed), photo=photo, colors=colors))
    return Status(
        id=job.id,
        name=job.name,
        state=job.state,
        ahead=jobs.waiting(job) if job.state == "queued" else 0,
        width=opened.width if opened else None,
        height=opened.height if opened else None,
        before=f"{address}/before" if opened else None,
        seeds=list(job.request.options.seeds),
        copies=outputs,
        notes=list(job.notes),
        seconds=job.seconds,
        problem=job.problem,
    )


class FilmStatus(BaseModel):
    """State of a film. ``done``: seconds of it that are colorized, of ``whole``; ``film``: the address of the output.

    ``ahead``: photos and films that wait before it; ``notes``: what was left out; null: not known yet.
    """

    id: str
    name: str
    address: str
    state: State
    ahead: int
    width: int | None
    height: int | None
    done: float
    whole: float | None
    film: str | None
    output: str | None
    notes: list[str]
    seconds: float | None
    problem: str | None


def film_status(jobs: Jobs, job: Job) -> FilmStatus:
    """Return the state of the job of a film."""
    address, opened, progress = f"/films/{job.id}", job.opened, job.progress
    is_written = bool(job.seeds)
    return FilmStatus(
        id=job.id,
        name=job.name,
        address=address,
        state=job.state,
        ahead=jobs.waiting(job) if job.state == "queued" else 0,
        width=opened.width if opened else None,
        height=opened.height if opened else None,
        done=progress.done if progress else 0,
        whole=progress.whole if progress else None,
        film=f"{address}/film" if is_written else None,
        output=job.title(job.request.options.seed) if is_written else None,
        notes=list(job.notes),
        seconds=job.seconds,
        problem=job.problem,
    )
