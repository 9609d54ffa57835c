"""The HTTP interface: photos come in, colorized photos go out; nothing else is read or fetched."""

import asyncio
import json
import mimetypes
from dataclasses import fields
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from fastapi.responses import FileResponse, HTMLResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.requests import ClientDisconnect

from .._install import install_extra
from ..imaging import formats
from ..inference.options import LIMITS, MAX_HINTS, ColorOptions, Hint, check_stochastic
from ..inference.plan import find_suffix
from .downloads import StoredFile, link_outputs, zip_pieces
from .jobs import Job, Jobs
from .limits import MAX_ARCHIVE, MAX_WAIT
from .schemas import (
    ColorParameters,
    FilmParameters,
    FilmStatus,
    Health,
    JobParameters,
    LikelyColor,
    Model,
    Problem,
    Status,
    film_status,
    job_status,
)
from .uploads import client_of, plain_name, receive
from .worker import COLORS_SUFFIX, FILM_SUFFIX, ORIGINAL_PREVIEW, ColorizeRequest

DISCONNECT_POLL_SECONDS = 0.5
WAIT_POLL_SECONDS = 0.05
QUEUE_NEWS = 2  # seconds after which a waiting client learns how many photos are before its own, or how far a film is
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


router = APIRouter(responses=_errors(400, 401, 403, 429, 500, 503))
UPLOAD_BODY = {"requestBody": {"required": True, **_file("The bytes of a photo.", "application/octet-stream")}}
FILM_BODY = {"requestBody": {"required": True, **_file("The bytes of a film.", "application/octet-stream")}}
UPLOAD_ERRORS = _errors(404, 408, 413, 415, 422, 429, 507)
PHOTO: Responses = dict.fromkeys((200, 206), _file("The colorized photo, or a range of it.", *MEDIA_TYPES.values()))
JPEG: Responses = dict.fromkeys((200, 206), _file("A JPEG, or a range of it.", "image/jpeg"))
COLORS: Responses = dict.fromkeys((200, 206), _file("A color map, or a range of it.", "application/octet-stream"))
FILM: Responses = dict.fromkeys((200, 206), _file("The colorized film, or a range of it.", "video/mp4"))
ZIP: Responses = {200: _file("A zip.", "application/zip")}
FILE_ERRORS = _errors(404, 409, 416, 422)
FILM_ERRORS = FILE_ERRORS | _errors(413, 504, 507)
COLORIZE = UPLOAD_ERRORS | FILE_ERRORS | PHOTO | _errors(504)


async def _jobs(request: Request) -> Jobs:
    return request.app.state.jobs


AllJobs = Annotated[Jobs, Depends(_jobs)]


async def _job(identity: str, jobs: AllJobs) -> Job:
    job = jobs.get(identity)
    if job.is_film:
        raise HTTPException(404, f"this is a film: ask for /films/{identity}")
    return job


async def _film(identity: str, jobs: AllJobs) -> Job:
    job = jobs.get(identity)
    if not job.is_film:
        raise HTTPException(404, f"this is a photo: ask for /jobs/{identity}")
    return job


OneJob = Annotated[Job, Depends(_job)]
OneFilm = Annotated[Job, Depends(_film)]
OneOutput = Annotated[ColorParameters, Query()]
Outputs = Annotated[JobParameters, Query()]
FilmColors = Annotated[FilmParameters, Query()]
Wait = Annotated[float, Query(ge=0, le=MAX_WAIT)]


@router.get("/health")
async def health(jobs: AllJobs) -> Health:
    """Return the state of the server."""
    return Health(waiting=jobs.waiting(), workers=len(jobs.workers), retention=jobs.limits.retention)


@router.get("/docs", include_in_schema=False)
async def docs() -> FileResponse:
    """Return the description of this interface for people."""
    return FileResponse(Path(__file__).parent / "static/docs.html")


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
    color_request = _color_request(request, parameters)
    return await _send(request, jobs, await receive(request, jobs, color_request, parameters.name))


@router.post("/form", include_in_schema=False)
async def colorize_form(request: Request, jobs: AllJobs) -> Response:
    """Colorize the file of a form, for browsers without JavaScript; errors are pages too."""
    try:
        color_request = _color_request(request, ColorParameters.model_validate({}))
        return await _send(request, jobs, await receive(request, jobs, color_request, "", is_form=True))
    except HTTPException as error:
        text = f"<!doctype html><title>Photochrom</title><p>{escape(error.detail)}</p><p><a href='.'>Back</a></p>"
        return HTMLResponse(text, error.status_code)


async def _send(request: Request, jobs: Jobs, job: Job) -> Response:
    """Wait for the only output of a job and send it; then, and where the client leaves, remove the job."""
    try:
        finished = asyncio.wrap_future(job.finished)
        while not finished.done():
            await asyncio.wait([finished], timeout=DISCONNECT_POLL_SECONDS)
            if await request.is_disconnected():
                raise ClientDisconnect
        if job.failure:
            raise HTTPException(job.failure.status, job.failure.reason)
        response = await photo(job, job.request.options.seed)
        response.headers["Photochrom-Notes"] = json.dumps(job.notes)
    except BaseException:
        await asyncio.to_thread(jobs.remove, job)
        raise
    response.background = BackgroundTask(jobs.remove, job)  # once it is sent
    return response


@router.post("/jobs", status_code=202, responses=UPLOAD_ERRORS, openapi_extra=UPLOAD_BODY)
async def submit(request: Request, jobs: AllJobs, parameters: Outputs) -> Status:
    """Queue a photo to be colorized, in one or several variants."""
    return job_status(jobs, await receive(request, jobs, _color_request(request, parameters), parameters.name))


@router.post("/jobs/{identity}/again", status_code=202, responses=_errors(404, 422, 429, 507))
async def resubmit(request: Request, jobs: AllJobs, job: OneJob, parameters: Outputs) -> Status:
    """Queue the photo of a job once more, with other parameters; both jobs stay."""
    color_request = _color_request(request, parameters)
    return job_status(jobs, jobs.resubmit(job, plain_name(parameters.name), color_request, client_of(request)))


@router.get("/jobs/{identity}", responses=_errors(404, 422))
async def status(jobs: AllJobs, job: OneJob, wait: Wait = 0) -> Status:
    """Return the state of a job, once it changes or, at the latest, after ``wait`` seconds."""
    await _news(job, wait)
    return job_status(jobs, job)


async def _news(job: Job, wait: float) -> None:
    """Wait until a job changes, for at most ``wait`` seconds."""
    known, clock = (job.state, len(job.seeds), job.progress), asyncio.get_running_loop().time
    end = clock() + min(wait, QUEUE_NEWS if job.state == "queued" or job.is_film else MAX_WAIT)
    while not job.finished.done() and (job.state, len(job.seeds), job.progress) == known and clock() < end:
        await asyncio.sleep(WAIT_POLL_SECONDS)


@router.post("/jobs/{identity}/likely", responses=_errors(404, 422, 429, 504, 507))
async def likely(
    request: Request,
    jobs: AllJobs,
    job: OneJob,
    x: Annotated[int, Query(ge=0)],
    y: Annotated[int, Query(ge=0)],
    model: Annotated[str, Query(max_length=100)] = "",
) -> list[LikelyColor]:
    """Return the likely colors of a pixel of a job's photo, by a model that knows them (``suggests``)."""
    available: dict[str, Model] = request.app.state.models
    name = model or next((name for name, card in available.items() if card.suggests), "")
    if name not in available or not available[name].suggests:
        raise HTTPException(404, f"no model {name!r} that knows the likely colors of a place, such as classify")
    opened = job.opened
    if not opened or x >= opened.width or y >= opened.height:
        raise HTTPException(422, f"x {x}, y {y}: is outside the photo, or it is not open yet")
    path, page = available[name].path, job.request.page
    place_request = ColorizeRequest(Path(), path, ColorOptions(), page=page, outputs=False, place=(x, y))
    place_job = jobs.resubmit(job, "", place_request, client_of(request))
    try:
        await asyncio.wrap_future(place_job.finished)
        if place_job.failure:
            raise HTTPException(place_job.failure.status, place_job.failure.reason)
        return [LikelyColor(color=color, probability=probability) for color, probability in place_job.likely]
    finally:
        await asyncio.to_thread(jobs.remove, place_job)


@router.delete("/jobs/{identity}", status_code=204, responses=_errors(404))
async def remove(jobs: AllJobs, job: OneJob) -> None:
    """Cancel a job and delete its photo and outputs."""
    await asyncio.to_thread(jobs.remove, job)


@router.get("/jobs/{identity}/before", response_class=Response, responses=JPEG | FILE_ERRORS)
async def before(job: OneJob) -> Response:
    """Return a JPEG preview of the original photo."""
    if not job.opened:
        raise HTTPException(409, "the photo is not open yet")
    return StoredFile(job.request.folder / ORIGINAL_PREVIEW, media_type="image/jpeg")


@router.get("/jobs/{identity}/colors/{seed}", response_class=Response, responses=COLORS | FILE_ERRORS)
async def colors(job: OneJob, seed: int) -> Response:
    """Return the colors at the size at which the model works: int16 (2, height, width), a and b of Lab times 64."""
    path = _output(job, seed).with_suffix(COLORS_SUFFIX)
    return StoredFile(path, media_type="application/octet-stream")


@router.get("/jobs/{identity}/photo/{seed}", response_class=Response, responses=PHOTO | FILE_ERRORS)
async def photo(job: OneJob, seed: int) -> Response:
    """Return a colorized photo in the format, size and depth of the original, with its metadata."""
    path = _output(job, seed, is_file=True)
    return StoredFile(path, media_type=MEDIA_TYPES[path.suffix], filename=job.title(seed))


@router.post("/films", status_code=202, responses=UPLOAD_ERRORS, openapi_extra=FILM_BODY)
async def submit_film(request: Request, jobs: AllJobs, parameters: FilmColors) -> FilmStatus:
    """Queue a film to be colorized, with its sound; the output is an MP4 (H.264)."""
    if not (find_spec("av") and find_spec("cv2")):
        raise HTTPException(415, f"this server is not installed for films: {install_extra('video')}")
    return film_status(jobs, await receive(request, jobs, _color_request(request, parameters), parameters.name))


@router.post("/films/{identity}/again", status_code=202, responses=_errors(404, 422, 429, 507))
async def resubmit_film(request: Request, jobs: AllJobs, job: OneFilm, parameters: FilmColors) -> FilmStatus:
    """Queue a film once more, with other parameters; both jobs stay."""
    color_request = _color_request(request, parameters)
    return film_status(jobs, jobs.resubmit(job, plain_name(parameters.name), color_request, client_of(request)))


@router.get("/films/{identity}", responses=_errors(404, 422))
async def status_of_film(jobs: AllJobs, job: OneFilm, wait: Wait = 0) -> FilmStatus:
    """Return the state of a film, once it changes or, at the latest, after ``wait`` seconds."""
    await _news(job, wait)
    return film_status(jobs, job)


@router.get("/films/{identity}/film", response_class=Response, responses=FILM | FILM_ERRORS)
async def film(job: OneFilm) -> Response:
    """Return a colorized film, or why there is none."""
    if job.failure:
        raise HTTPException(job.failure.status, job.problem)
    if not job.seeds:
        raise HTTPException(409, "the film is not colorized yet")
    seed = job.request.options.seed
    return StoredFile(job.output(seed), media_type="video/mp4", filename=job.title(seed))


@router.delete("/films/{identity}", status_code=204, responses=_errors(404))
async def remove_film(jobs: AllJobs, job: OneFilm) -> None:
    """Cancel the job of a film and delete its files."""
    await asyncio.to_thread(jobs.remove, job)


@router.get("/archive", response_class=Response, responses=ZIP | _errors(404, 409, 422, 507))
async def archive(
    request: Request,
    jobs: AllJobs,
    job: Annotated[list[str], Query(min_length=1, max_length=MAX_ARCHIVE)],
    settings: Annotated[bool, Query(description="Whether to add the settings of each photo, NAME.EXT.json.")] = False,
) -> StreamingResponse:
    """Return all outputs of these jobs as a zip."""
    sources = [jobs.get(identity) for identity in job]
    sources = [source for source in sources if source.request.outputs]
    if not any(source.seeds for source in sources):
        raise HTTPException(409, "no photo is colorized yet")
    available: dict[str, Model] = request.app.state.models
    names = {model.path: name for name, model in available.items()} if settings else None
    folder, links = await asyncio.to_thread(link_outputs, jobs, sources, names)
    headers = {"Content-Disposition": 'attachment; filename="colorized-photos.zip"'}
    return StreamingResponse(zip_pieces(folder, links), media_type="application/zip", headers=headers)


def _color_request(request: Request, parameters: FilmParameters) -> ColorizeRequest:
    available: dict[str, Model] = request.app.state.models
    name = parameters.model or next(iter(available))
    if name not in available:
        raise HTTPException(404, f"no model {name!r}: choose one of {', '.join(available)}")
    try:
        hints = tuple(map(Hint.parse, parameters.hint)) if isinstance(parameters, ColorParameters) else ()
        names = {option.name for option in fields(ColorOptions)}
        options = ColorOptions(**parameters.model_dump(include=names), hints=hints)
        model = available[name]
        sampler = model.solvers.get(options.solver or "", model)  # the worker refuses other names
        check_stochastic(name, sampler.stochastic, options)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None
    unsupported = [option for option in options.sampler if option not in sampler.options]
    if unsupported:
        other = "choose another model" if sampler is model else f"choose another sampler than {options.solver}"
        raise HTTPException(422, f"{', '.join(unsupported)}: not supported by {name}; {other}")
    if not isinstance(parameters, ColorParameters):
        longest = request.app.state.jobs.limits.film_seconds
        return ColorizeRequest(Path(), model.path, options, suffix=FILM_SUFFIX, film_seconds=longest)
    if not isinstance(parameters, JobParameters):
        return ColorizeRequest(Path(), model.path, options, preview=0, page=parameters.page)
    try:
        suffix = find_suffix(parameters.format) if parameters.format else ""
    except ValueError as error:
        raise HTTPException(422, str(error).removeprefix("--")) from None
    outputs = parameters.colors and not parameters.draft
    preview, page = parameters.preview, parameters.page
    return ColorizeRequest(Path(), model.path, options, preview, page, outputs, suffix, parameters.colors)


def _output(job: Job, seed: int, is_file: bool = False) -> Path:
    seeds = job.request.options.seeds
    if seed not in seeds:
        raise HTTPException(404, f"seed {seed}: this job has the seeds {', '.join(map(str, seeds))}")
    if seed not in job.seeds:
        raise HTTPException(409, f"seed {seed}: the photo is not available")
    if is_file and not job.request.outputs:
        raise HTTPException(409, "this job is a draft, without outputs: submit the photo again with draft=false")
    return job.output(seed)
