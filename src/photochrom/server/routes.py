"""The page and its HTTP interface: photographs come in, and go out in colour; nothing else is read or fetched."""

import asyncio
import re
import shutil
import time
import zipfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.staticfiles import StaticFiles

from .._version import __version__
from ..core.sampling import load_procedure
from ..imaging import errors, formats
from ..inference import bundle
from ..inference.options import Hint
from .jobs import GONE, Job, Jobs, Limits, Refused
from .middleware import Guard
from .schemas import Anew, Answers, Health, Model, Named, Several, Status, Wishes, binary, problems, status
from .worker import BEFORE, UPLOAD, Order, Painted

PAGE = Path(__file__).parent / "static"
LOCAL = ("localhost", "127.0.0.1", "[::1]")
TOLD = ["steps", "temperature"]  # of the settings of procedures, those that can be asked for here
FORGETTING = 30  # seconds between two looks at what is past its time
STALLED = 30  # seconds without a byte of a photograph that is on its way
PATIENCE = 0.5  # seconds between two looks at whether somebody who waits is still there
TYPES = {".jpg": "image/jpeg", ".png": "image/png", ".tif": "image/tiff", ".webp": "image/webp", ".avif": "image/avif"}


@dataclass(frozen=True)
class Choice:
    """A bundle that can be chosen."""

    path: Path
    card: bundle.Card

    @property
    def model(self) -> Model:
        """What is said of it."""
        procedure, card = load_procedure(self.card.procedure), self.card
        told = [name for name in TOLD if name in procedure.option_names]
        return Model(
            name=card.name,
            family=card.family,
            summary=card.summary,
            size=card.size,
            stochastic=procedure.stochastic,
            told=told,
            licence=card.licence,
        )


def choices(models: Sequence[str | Path]) -> dict[str, Choice]:
    """The bundles of these names or paths, by name. Raises ValueError for one that will not do, or two of one name."""
    found: dict[str, Choice] = {}
    for model in models:
        loaded, path = bundle.load(model), bundle.find(model).resolve()
        if not loaded.procedure.colorizes:
            raise ValueError(f"{model}: gives no colour to a photograph: choose a model that does")
        other = found.setdefault(loaded.card.name, Choice(path, loaded.card))
        if other.path != path:
            raise ValueError(f"{model}: is called {loaded.card.name}, as {other.path} is: leave one out")
    return found


def create(
    models: Mapping[str, Choice], limits: Limits, count: int = 1, threads: int = 1, hosts: Sequence[str] = LOCAL
) -> FastAPI:
    """The application, which answers to ``hosts`` and colours by ``count`` processes of ``threads`` threads.

    ``models``: see `choices`; the first is taken where none is asked for.
    """

    @asynccontextmanager
    async def running(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = Jobs([str(choice.path) for choice in models.values()], limits, count, threads)
        forgetting = asyncio.create_task(_forgetting(app.state.jobs))
        try:
            yield
        finally:
            forgetting.cancel()
            await asyncio.to_thread(app.state.jobs.close)

    app = FastAPI(title="Photochrom", version=__version__, lifespan=running, docs_url=None, redoc_url=None)
    app.state.models = models
    app.add_middleware(Guard, hosts=hosts)
    app.exception_handler(Refused)(_refused)
    app.exception_handler(ClientDisconnect)(_left)
    app.exception_handler(RequestValidationError)(_invalid)
    app.get("/health", responses=problems())(health)
    app.get("/models", responses=problems())(models_)
    sent = {"requestBody": {"required": True, **binary("The bytes of a photograph.", "application/octet-stream")}}
    done: Answers = dict.fromkeys((200, 206), binary("The photograph in colour, or a part of it.", *TYPES.values()))
    small: Answers = dict.fromkeys((200, 206), binary("A JPEG, or a part of it.", "image/jpeg"))
    zipped: Answers = {200: binary("A zip.", "application/zip")}
    waits = problems(404, 408, 413, 415, 416, 422, 429, 504, 507)
    app.post("/colorize", response_class=Response, responses=done | waits, openapi_extra=sent)(colorize)
    queues = problems(404, 408, 413, 415, 422, 429, 507)
    app.post("/jobs", status_code=202, responses=queues, openapi_extra=sent)(begin)
    app.post("/jobs/{identity}/again", status_code=202, responses=problems(404, 422, 429))(again)
    app.get("/jobs/{identity}", responses=problems(404))(look)
    app.delete("/jobs/{identity}", status_code=204, responses=problems(404))(remove)
    shows = problems(404, 409, 416, 422)
    app.get("/jobs/{identity}/before", response_class=Response, responses=small | shows)(before)
    app.get("/jobs/{identity}/preview/{seed}", response_class=Response, responses=small | shows)(preview)
    app.get("/jobs/{identity}/photo/{seed}", response_class=Response, responses=done | shows)(photo)
    app.get("/archive", response_class=Response, responses=zipped | problems(404, 409, 422))(archive)
    app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


async def _forgetting(jobs: Jobs) -> None:
    while True:
        await asyncio.sleep(min(FORGETTING, jobs.limits.kept))
        await asyncio.to_thread(jobs.forget)


def _jobs(request: Request) -> Jobs:
    return request.app.state.jobs


async def _job(identity: str, request: Request) -> Job:
    return _jobs(request).get(identity)


Here = Annotated[Jobs, Depends(_jobs)]
One = Annotated[Job, Depends(_job)]


async def health(jobs: Here) -> Health:
    """Whether it is there, and how busy."""
    return Health(waiting=jobs.waiting(), workers=len(jobs.workers))


async def models_(request: Request) -> list[Model]:
    """The models that can be chosen, with their own words on what they are good at."""
    return [choice.model for choice in request.app.state.models.values()]


async def colorize(request: Request, jobs: Here, wishes: Annotated[Named, Query()]) -> Response:
    """Colour a photograph, and wait for it: the same format, size, depth and metadata. Nothing of it is kept."""
    order = replace(_order(request, wishes), shown=False)
    job = await _received(request, jobs, order, wishes.name)
    finished = asyncio.wrap_future(job.finished)
    try:
        while not finished.done():
            await asyncio.wait([finished], timeout=PATIENCE)
            if await request.is_disconnected():
                raise ClientDisconnect
        if job.failure:
            raise Refused(job.failure.reason, job.failure.status)
    except BaseException:
        await asyncio.to_thread(jobs.remove, job)
        raise
    answer = await photo(job, wishes.seed)
    answer.background = BackgroundTask(jobs.remove, job)
    return answer


async def begin(request: Request, jobs: Here, wishes: Annotated[Several, Query()]) -> Status:
    """Queue a photograph to be coloured, once or in several variants."""
    return status(jobs, await _received(request, jobs, _order(request, wishes, wishes.variants), wishes.name))


async def again(request: Request, jobs: Here, job: One, wishes: Annotated[Anew, Query()]) -> Status:
    """Queue a photograph that is here once more, with other wishes; both stay."""
    order = _order(request, wishes, wishes.variants)
    with jobs.place():
        return status(jobs, jobs.again(job, order))


async def look(jobs: Here, job: One) -> Status:
    """How far a photograph is."""
    return status(jobs, job)


async def remove(jobs: Here, job: One) -> None:
    """Stop colouring a photograph, and forget it and its copies."""
    await asyncio.to_thread(jobs.remove, job)


async def before(job: One) -> FileResponse:
    """A JPEG of the photograph as it was, for a page to show."""
    if not job.opened:
        raise Refused("it is not opened yet", 409)
    return FileResponse(job.order.folder / BEFORE, media_type="image/jpeg")


async def preview(job: One, seed: int) -> FileResponse:
    """A JPEG of the photograph in colour, for a page to show."""
    return FileResponse(_copy(job, seed).with_name(Painted.preview(seed)), media_type="image/jpeg")


async def photo(job: One, seed: int) -> FileResponse:
    """The photograph in colour: the same format, size, depth and metadata."""
    path = _copy(job, seed)
    return FileResponse(path, media_type=TYPES[path.suffix], headers=_called(job.title(seed)))


async def archive(jobs: Here, job: Annotated[list[str], Query(min_length=1, max_length=1000)]) -> StreamingResponse:
    """All copies of these photographs as a zip."""
    found = [jobs.get(identity) for identity in job]
    files = [(one, one.title(seed), one.copy(seed)) for one in found for seed in one.painted]
    if not all(path.exists() for *_, path in files):
        raise Refused(GONE, 404)
    if not files:
        raise Refused("nothing is coloured yet", 409)
    return StreamingResponse(_zip(files), media_type="application/zip", headers=_called("photographs-in-colour.zip"))


async def _left(_: Request, __: Exception) -> Response:
    """Nobody hears it."""
    return Response(status_code=499)


async def _refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refused)
    return JSONResponse({"detail": str(error)}, error.status, {"Retry-After": "10"} if error.status == 429 else None)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    wish = first["loc"][1]
    why = "write it as x,y,#rrggbb, such as 120,80,#b03a2e" if wish == "hint" else first["msg"]
    return JSONResponse({"detail": f"{wish} {str(first['input'])[:100]!r}: {why}"}, 422)


def _order(request: Request, wishes: Wishes, variants: int = 1) -> Order:
    """What a worker is to do, in a folder yet to be made. Raises Refused for a model that is not there or cannot."""
    models: Mapping[str, Choice] = request.app.state.models
    name = wishes.model or next(iter(models))
    if name not in models:
        raise Refused(f"no model {name!r}: choose one of {', '.join(models)}", 404)
    model = models[name].model
    told = {setting: getattr(wishes, setting) for setting in TOLD}
    told = {setting: value for setting, value in told.items() if value is not None}
    if extra := sorted(set(told) - set(model.told)):
        raise Refused(f"{', '.join(extra)}: {name} has none; choose a model that has", 422)
    if variants > 1 and not model.stochastic:
        raise Refused(f"{variants} variants: {name} paints one picture of each; choose a model that draws", 422)
    seeds = tuple(range(wishes.seed, wishes.seed + variants))
    hints = tuple(Hint.parse(hint) for hint in wishes.hint)
    return Order(Path(), str(models[name].path), seeds, wishes.saturation, wishes.size, hints, told)


async def _received(request: Request, jobs: Jobs, order: Order, name: str) -> Job:
    """Queue what a request holds, written down as it comes. Raises Refused for too much, or what is no photograph."""
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused("this is a form: send the bytes of the photograph alone (curl --data-binary @old.jpg)", 415)
    most, told = jobs.limits.upload, int(request.headers.get("content-length") or 0)
    if told > most:
        raise _too_much(most)
    folder: Path | None = None
    try:
        with jobs.place(told or most):
            folder = jobs.folder()
            async with asyncio.timeout(jobs.limits.seconds):
                await _written(request, folder / UPLOAD, most)
            return jobs.submit(_plain(name), replace(order, folder=folder))
    except BaseException as error:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, errors.PhotoError):
            raise Refused(str(error), 415) from None
        if isinstance(error, TimeoutError):
            raise Refused(f"{UPLOAD}: did not come in time: send it again", 408) from None
        if isinstance(error, OSError):
            raise Refused(f"{UPLOAD}: cannot be kept ({error.strerror})", 507) from None
        raise


async def _written(request: Request, path: Path, most: int) -> None:
    """The body of a request in a file. Raises Refused for more than ``most`` bytes, PhotoError for no photograph."""
    parts = request.stream()
    with path.open("x+b") as file:
        while True:
            async with asyncio.timeout(STALLED):
                part = await anext(parts, None)
            if part is None:
                break
            if file.tell() + len(part) > most:
                raise _too_much(most)
            file.write(part)
        file.seek(0)
        formats.kind(file.read(64), str(UPLOAD))


def _too_much(most: int) -> Refused:
    return Refused(f"{UPLOAD}: is larger than {most >> 20} MB, the limit", 413)


def _plain(name: str) -> str:
    """The last part of a name, without what the name of a file should not hold."""
    return re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "", re.split(r"[\\/]", name)[-1]).strip(". ") or str(UPLOAD)


def _copy(job: Job, seed: int) -> Path:
    if seed not in job.order.seeds:
        raise Refused(f"no copy of seed {seed}: there are {', '.join(map(str, job.order.seeds))}", 404)
    if seed not in job.painted:
        raise Refused(f"the copy of seed {seed} is not there", 409)
    return job.copy(seed)


def _called(name: str) -> dict[str, str]:
    """Of an answer that is to be kept as a file (RFC 6266)."""
    return {"Content-Disposition": f"attachment; filename*=utf-8''{quote(name, safe='')}"}


def _zip(files: Sequence[tuple[Job, str, Path]]) -> Iterator[bytes]:
    """A zip of files, as they are, piece by piece; what has a name that is taken gets a number."""
    made = _Pieces()
    taken: set[str] = set()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for job, title, path in files:
            name, number = Path(title), 1
            while str(name) in taken:
                number += 1
                name = Path(title).with_stem(f"{Path(title).stem}-{number}")
            taken.add(str(name))
            with archive.open(zipfile.ZipInfo.from_file(path, name), "w") as target, path.open("rb") as source:
                while piece := source.read(1 << 20):
                    job.touched = time.monotonic()
                    target.write(piece)
                    yield made.taken()
    yield made.taken()


class _Pieces:
    """A file that cannot go back, from which what is written is taken."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self.pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        pass

    def taken(self) -> bytes:
        joined = b"".join(self.pieces)
        self.pieces.clear()
        return joined
