"""The HTTP interface: photos come in, colorized photos go out; nothing else is read or fetched."""

import asyncio
import json
import mimetypes
import os
import re
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from ..imaging import errors, formats
from ..inference.options import LIMITS, MAX_HINTS, ColorOptions, Hint, check_stochastic
from .jobs import REMOVED, Job, Jobs, storage_error
from .schemas import ColorParameters, Health, JobParameters, Model, Problem, Status, job_status
from .worker import ORIGINAL_PREVIEW, PREVIEW_SUFFIX, UPLOAD, ColorizeRequest

STALL_SECONDS = 30  # longest wait for the next bytes of an upload
DISCONNECT_POLL_SECONDS = 0.5
MAX_ARCHIVE = 1000  # jobs
MEDIA_TYPES = {
    suffix: mimetypes.types_map.get(kind.suffix, f"image/{kind.suffix[1:]}")
    for suffix, kind in formats.WRITABLE.items()
}
PLAIN_TEXT = (416, 503)  # errors that Starlette and uvicorn report themselves

Responses = dict[int | str, dict[str, Any]]  # by status, for OpenAPI


def _errors(*statuses: int) -> Responses:
    return {status: {} if status in PLAIN_TEXT else {"model": Problem} for status in statuses}


def _file(description: str, *media_types: str) -> dict[str, Any]:
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {"description": description, "content": dict.fromkeys(media_types, schema)}


router = APIRouter(responses=_errors(400, 403, 500, 503))
UPLOAD_BODY = {"requestBody": {"required": True, **_file("The bytes of a photo.", "application/octet-stream")}}
UPLOAD_ERRORS = _errors(404, 408, 413, 415, 422, 429, 507)
PHOTO: Responses = dict.fromkeys((200, 206), _file("The colorized photo, or a range of it.", *MEDIA_TYPES.values()))
JPEG: Responses = dict.fromkeys((200, 206), _file("A JPEG, or a range of it.", "image/jpeg"))
ZIP: Responses = {200: _file("A zip.", "application/zip")}
FILE_ERRORS = _errors(404, 409, 416, 422)
COLORIZE = UPLOAD_ERRORS | FILE_ERRORS | PHOTO | _errors(504)


async def _jobs(request: Request) -> Jobs:
    return request.app.state.jobs


AllJobs = Annotated[Jobs, Depends(_jobs)]


async def _job(identity: str, jobs: AllJobs) -> Job:
    return jobs.get(identity)


OneJob = Annotated[Job, Depends(_job)]
OneOutput = Annotated[ColorParameters, Query()]
Outputs = Annotated[JobParameters, Query()]


@router.get("/health")
async def health(jobs: AllJobs) -> Health:
    """Return the state of the server."""
    return Health(waiting=jobs.waiting(), workers=len(jobs.workers))


@router.get("/models")
async def models(request: Request) -> list[Model]:
    """Return the models, the default one first."""
    return list(request.app.state.models.values())


@router.get("/limits")
async def limits() -> dict[str, list[float]]:
    """Return the lowest and highest value of each parameter, number of hints and number of jobs in an archive."""
    numbers = {name: list(LIMITS[name]) for name in JobParameters.model_fields if name in LIMITS}
    return {**numbers, "hint": [0, MAX_HINTS], "job": [1, MAX_ARCHIVE]}


@router.post("/colorize", response_class=Response, responses=COLORIZE, openapi_extra=UPLOAD_BODY)
async def colorize(request: Request, jobs: AllJobs, parameters: OneOutput) -> Response:
    """Colorize a photo and return it in the same format, size and depth, with its metadata. Nothing is kept.

    The header Photochrom-Notes is a JSON list of sentences about what of the photo was left aside.
    """
    job = await _receive(request, jobs, parameters, previews=False)
    try:
        finished = asyncio.wrap_future(job.finished)
        while not finished.done():
            await asyncio.wait([finished], timeout=DISCONNECT_POLL_SECONDS)
            if await request.is_disconnected():
                raise ClientDisconnect
        if job.failure:
            raise HTTPException(job.failure.status, job.failure.reason)
        response = await photo(job, parameters.seed)
        response.headers["Photochrom-Notes"] = json.dumps(job.notes)
    except BaseException:
        await asyncio.to_thread(jobs.remove, job)
        raise
    response.background = BackgroundTask(jobs.remove, job)  # once it is sent
    return response


@router.post("/jobs", status_code=202, responses=UPLOAD_ERRORS, openapi_extra=UPLOAD_BODY)
async def submit(request: Request, jobs: AllJobs, parameters: Outputs) -> Status:
    """Queue a photo to be colorized, in one or several variants."""
    return job_status(jobs, await _receive(request, jobs, parameters))


@router.post("/jobs/{identity}/again", status_code=202, responses=_errors(404, 422, 429, 507))
async def resubmit(request: Request, jobs: AllJobs, job: OneJob, parameters: Outputs) -> Status:
    """Queue the photo of a job once more, with other parameters; both jobs stay."""
    color_request = _color_request(request, parameters)
    return job_status(jobs, jobs.resubmit(job, _plain_name(parameters.name), color_request))


@router.get("/jobs/{identity}", responses=_errors(404))
async def status(jobs: AllJobs, job: OneJob) -> Status:
    """Return the state of a job."""
    return job_status(jobs, job)


@router.delete("/jobs/{identity}", status_code=204, responses=_errors(404))
async def remove(jobs: AllJobs, job: OneJob) -> None:
    """Cancel a job and delete its photo and outputs."""
    await asyncio.to_thread(jobs.remove, job)


@router.get("/jobs/{identity}/before", response_class=Response, responses=JPEG | FILE_ERRORS)
async def before(job: OneJob) -> Response:
    """Return a JPEG preview of the original photo."""
    if not job.opened:
        raise HTTPException(409, "the photo is not open yet")
    return _StoredFile(job.request.folder / ORIGINAL_PREVIEW, media_type="image/jpeg")


@router.get("/jobs/{identity}/preview/{seed}", response_class=Response, responses=JPEG | FILE_ERRORS)
async def preview(job: OneJob, seed: int) -> Response:
    """Return a JPEG preview of a colorized photo."""
    path = _output(job, seed).with_suffix(PREVIEW_SUFFIX)
    return _StoredFile(path, media_type="image/jpeg")


@router.get("/jobs/{identity}/photo/{seed}", response_class=Response, responses=PHOTO | FILE_ERRORS)
async def photo(job: OneJob, seed: int) -> Response:
    """Return a colorized photo in the format, size and depth of the original, with its metadata."""
    path = _output(job, seed)
    return _StoredFile(path, media_type=MEDIA_TYPES[path.suffix], filename=job.title(seed))


@router.get("/archive", response_class=Response, responses=ZIP | _errors(404, 409, 422, 507))
async def archive(
    jobs: AllJobs, job: Annotated[list[str], Query(min_length=1, max_length=MAX_ARCHIVE)]
) -> StreamingResponse:
    """Return all outputs of these jobs as a zip."""
    sources = [jobs.get(identity) for identity in job]
    if not any(source.seeds for source in sources):
        raise HTTPException(409, "no photo is colorized yet")
    folder, links = await asyncio.to_thread(_link, jobs, sources)
    headers = {"Content-Disposition": 'attachment; filename="colorized-photos.zip"'}
    return StreamingResponse(_zip(folder, links), media_type="application/zip", headers=headers)


def _color_request(request: Request, parameters: ColorParameters, previews: bool = True) -> ColorizeRequest:
    available: dict[str, Model] = request.app.state.models
    name = parameters.model or next(iter(available))
    if name not in available:
        raise HTTPException(404, f"no model {name!r}: choose one of {', '.join(available)}")
    try:
        hints = tuple(map(Hint.parse, parameters.hint))
        options = ColorOptions(**parameters.model_dump(exclude={"name", "model", "hint", "page"}), hints=hints)
        model = available[name]
        if options.solver is None:  # which may make the difference, and is known to the worker
            check_stochastic(name, model.stochastic, options)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    unsupported = [option for option in options.sampler if option not in model.options]
    if unsupported:
        raise HTTPException(422, f"{', '.join(unsupported)}: not supported by {name}; choose another model")
    return ColorizeRequest(Path(), model.path, options, previews, parameters.page)


async def _receive(request: Request, jobs: Jobs, parameters: ColorParameters, previews: bool = True) -> Job:
    color_request = _color_request(request, parameters, previews)
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise HTTPException(415, "this is a form: send only the bytes of the photo (curl --data-binary @old.jpg)")
    limit, size = jobs.limits.upload_bytes, int(request.headers.get("content-length") or 0)
    too_large = HTTPException(413, f"{UPLOAD}: is larger than the limit of {limit >> 20} MB")
    if size > limit:
        raise too_large
    try:
        with jobs.admission(size or limit) as folder:
            async with asyncio.timeout(jobs.limits.seconds):
                if await _write_body(request, folder / UPLOAD, limit) > limit:
                    raise too_large
            return jobs.submit(_plain_name(parameters.name) or UPLOAD, replace(color_request, folder=folder))
    except TimeoutError:
        raise HTTPException(408, f"{UPLOAD}: the upload took too long: send it again") from None
    except errors.PhotoError as error:
        raise HTTPException(415, str(error)) from None
    except OSError as error:
        raise storage_error(UPLOAD, error) from None


async def _write_body(request: Request, path: Path, limit: int) -> int:
    """Write the body, but little more than ``limit`` bytes, and return the size. Raises PhotoError for other files."""
    clock, size = asyncio.get_running_loop().time, 0
    with path.open("x+b") as file:
        async with asyncio.timeout(STALL_SECONDS) as stall:
            async for part in request.stream():
                stall.reschedule(clock() + STALL_SECONDS)
                size += file.write(part)
                if size > limit:
                    return size
        file.seek(0)
        formats.detect_kind(file.read(64), UPLOAD)
    return size


def _plain_name(name: str) -> str:
    """Return the last part of a path, without characters that file names or headers may not contain."""
    last = re.split(r"[\\/]", name)[-1]
    return re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "", last).strip(". ")


def _output(job: Job, seed: int) -> Path:
    seeds = job.request.options.seeds
    if seed not in seeds:
        raise HTTPException(404, f"seed {seed}: this job has the seeds {', '.join(map(str, seeds))}")
    if seed not in job.seeds:
        raise HTTPException(409, f"seed {seed}: the photo is not available")
    return job.output(seed)


class _StoredFile(FileResponse):
    """A file of a job. Nothing is sent before it is open, so that it is reported if it has been deleted meanwhile."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start: Message | None = None
        is_sent = False

        async def send_once_open(message: Message) -> None:
            nonlocal start, is_sent
            if message["type"] == "http.response.start":
                start = message
                return
            if start and not is_sent:
                is_sent = True
                await send(start)
            await send(message)

        try:
            await super().__call__(scope, receive, send_once_open)
        except (FileNotFoundError, RuntimeError):  # Starlette raises the latter if there is no such file
            if is_sent:
                raise
            await JSONResponse({"detail": REMOVED}, 404, background=self.background)(scope, receive, send)


def _link(jobs: Jobs, sources: Sequence[Job]) -> tuple[tempfile.TemporaryDirectory[str], list[tuple[str, Path]]]:
    """Returns a folder of links to the outputs of jobs, and their titles and paths; they stay when jobs are removed.

    Raises HTTPException if one is gone or cannot be linked.
    """
    links: list[tuple[str, Path]] = []
    folder = None
    try:
        folder = jobs.create_archive(sources)
        for source in sources:
            for seed in source.seeds:
                links.append((source.title(seed), Path(folder.name) / str(len(links))))
                os.link(source.output(seed), links[-1][1])
    except OSError as error:
        if folder:
            folder.cleanup()
        raise storage_error("archive", error) from None
    return folder, links


class _Buffer(bytearray):
    """An unseekable file for `zipfile`, from which each piece is taken as soon as it is written."""

    def write(self, piece: bytes) -> int:
        self.extend(piece)
        return len(piece)

    def flush(self) -> None:
        pass


def _zip(folder: tempfile.TemporaryDirectory[str], outputs: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
    """Yield the pieces of a zip of outputs; in the end, delete the folder that has them."""
    buffer, names = _Buffer(), set[str]()
    with folder, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]
        for title, path in outputs:
            name, number = Path(title), 1
            while str(name) in names:  # two photos may have one name
                number += 1
                name = name.with_stem(f"{Path(title).stem}-{number}")
            names.add(str(name))
            entry = zipfile.ZipInfo.from_file(path, name)
            with archive.open(entry, "w") as target, path.open("rb") as source:
                while piece := source.read(1 << 20):
                    target.write(piece)
                    yield bytes(buffer)
                    buffer.clear()
    yield bytes(buffer)
