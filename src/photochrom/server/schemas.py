"""What the HTTP interface takes and gives, as its OpenAPI description tells it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .._version import __version__
from .jobs import Job, Jobs, State

HINT = r"^\s*\d{1,9}\s*,\s*\d{1,9}\s*,\s*#?[0-9a-fA-F]{6}\s*$"
VARIANTS = 12
HINTS = 100
SEEDS = 2**53  # so many whole numbers are the same in JavaScript


class Wishes(BaseModel):
    """How a photograph is to be coloured; what is not said is as `photochrom colorize` has it."""

    model_config = ConfigDict(extra="forbid")
    model: Annotated[str, Field(max_length=100, description="A name that /models lists; the first if not given.")] = ""
    seed: Annotated[int, Field(ge=0, lt=SEEDS - VARIANTS, description="Which of the possible pictures.")] = 0
    saturation: Annotated[float, Field(ge=0, le=3, description="Of the colours: 0 gray, 1 as the model says.")] = 1.0
    size: Annotated[int | None, Field(ge=32, le=2048, description="Short side that the model sees.")] = None
    steps: Annotated[int | None, Field(ge=1, le=1000, description="Of sampling, where the model takes several.")] = None
    temperature: Annotated[float | None, Field(gt=0, le=10, description="Below 1 surer colours, above bolder.")] = None
    hint: Annotated[
        tuple[Annotated[str, Field(pattern=HINT)], ...],
        Field(max_length=HINTS, description="x,y,#rrggbb: a colour at a pixel of the upright photograph."),
    ] = ()


class Anew(Wishes):
    """Wishes for copies of a photograph that is here."""

    variants: Annotated[int, Field(ge=1, le=VARIANTS, description="Copies, by seeds counting up.")] = 1


class Named(Wishes):
    """Wishes for a photograph that is sent."""

    name: Annotated[str, Field(max_length=255, description="What the photograph is called; names its copy.")] = ""


class Several(Named, Anew):
    """Wishes for copies of a photograph that is sent."""


class Problem(BaseModel):
    """Why not, in a sentence."""

    detail: str


class Model(BaseModel):
    """A model that can be chosen. ``draws``: whether seeds differ; ``told``: what it can be told besides."""

    name: str
    family: str
    summary: str
    size: int
    stochastic: bool
    told: list[str]
    licence: str


class Health(BaseModel):
    """That it is there, and how busy."""

    status: Literal["ok"] = "ok"
    version: str = __version__
    waiting: int
    workers: int


class Copy(BaseModel):
    """A coloured copy: the seed that names it, what its file is called, where it and a small picture of it are."""

    seed: int
    name: str
    photo: str
    preview: str


class Status(BaseModel):
    """How far a photograph is. ``ahead``: how many wait before it; what is null is not known yet, or not the case."""

    id: str
    name: str
    state: State
    ahead: int
    width: int | None
    height: int | None
    before: str | None
    seeds: list[int]
    copies: list[Copy]
    seconds: float | None
    problem: str | None


def status(jobs: Jobs, job: Job) -> Status:
    """How far a photograph is."""
    at, opened = f"/jobs/{job.identity}", job.opened
    return Status(
        id=job.identity,
        name=job.name,
        state=job.state,
        ahead=jobs.waiting(job) if job.state == "queued" else 0,
        width=opened.width if opened else None,
        height=opened.height if opened else None,
        before=f"{at}/before" if opened else None,
        seeds=list(job.order.seeds),
        copies=[
            Copy(seed=seed, name=job.title(seed), photo=f"{at}/photo/{seed}", preview=f"{at}/preview/{seed}")
            for seed in job.painted
        ],
        seconds=job.seconds,
        problem=job.failure.reason if job.failure else None,
    )


PROBLEMS = {
    400: "The request was made to a host of another name.",
    403: "The request came from another site's page.",
    404: "No such photograph, model or copy here.",
    408: "The photograph did not come in time.",
    409: "Nothing is there yet.",
    413: "More bytes or pixels than the limit.",
    415: "Not a photograph, or of a format that is not read.",
    416: "No such part of the file.",
    422: "What was asked for cannot be, or the photograph is damaged.",
    429: "Too many photographs wait, or are held.",
    500: "The photograph brought its worker down, or something else went wrong here.",
    503: "More connections at once than can be.",
    504: "It took longer than the limit.",
    507: "There is no room to keep it.",
}
PLAIN = (416, 503)  # those that Starlette and uvicorn give themselves, as plain text


Answers = dict[int | str, dict[str, Any]]  # by status, as OpenAPI describes them


def problems(*statuses: int) -> Answers:
    """The answers a route may give that are none, for its description."""
    told = {status: {"description": PROBLEMS[status]} for status in (400, 403, 500, 503, *statuses)}
    return {status: said if status in PLAIN else {"model": Problem, **said} for status, said in told.items()}


def binary(description: str, *types: str) -> dict[str, Any]:
    """A body that is the bytes of a file, for a description."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {"description": description, "content": dict.fromkeys(types, schema)}
