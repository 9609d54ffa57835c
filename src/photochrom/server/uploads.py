"""Photos that come in: the bytes of a body or the file of a form, within the limits of the server."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fastapi import HTTPException, Request
from starlette.datastructures import UploadFile
from starlette.types import Message, Receive

from ..imaging import errors, films, formats
from .jobs import Job, Jobs, storage_error
from .worker import UPLOAD, ColorizeRequest

STALL_SECONDS = 30  # longest wait for the next bytes of an upload
MIN_BYTES = 1000  # a second of an upload, on average over the time after the first `STALL_SECONDS`
LOCAL = ("127.0.0.1", "::1")


def client_of(request: Request) -> str:
    """Return the address of a client that is not on this machine, where a proxy may stand for many, or ""."""
    return request.client.host if request.client and request.client.host not in LOCAL else ""


async def receive(
    request: Request, jobs: Jobs, color_request: ColorizeRequest, name: str, is_form: bool = False
) -> Job:
    """Queue the photo or film in a request; ``name``: of its file, where the form does not tell.

    Raises HTTPException.
    """
    subject = UPLOAD if color_request.film_seconds is None else "film"
    if request.headers.get("content-type", "").startswith("multipart/form-data") != is_form:
        raise HTTPException(415, f"this is a form: send only the bytes of the {subject} (curl --data-binary @FILE)")
    limit, size = jobs.limits.upload_bytes, int(request.headers.get("content-length") or 0)
    if "transfer-encoding" in request.headers:  # which decides, whatever the length says
        size = 0
    too_large = HTTPException(413, f"{subject}: is larger than the limit of {limit >> 20} MB")
    if size > limit:
        raise too_large
    try:
        with jobs.admission(size or limit, client_of(request)) as folder:
            async with asyncio.timeout(jobs.limits.seconds):
                limited = Request(request.scope, _limited(request.receive, limit, too_large))
                async with _content(limited, is_form) as (form_name, parts):
                    head = await _write(parts, folder / UPLOAD)
            if subject == UPLOAD:
                formats.detect_kind(head, UPLOAD)
            elif not films.has_film_header(head):
                raise errors.PhotoError(f"film: is not a supported film; supported: {', '.join(films.FILM_SUFFIXES)}")
            name = plain_name(name or form_name) or UPLOAD
            return jobs.submit(name, replace(color_request, folder=folder), client_of(request))
    except TimeoutError:
        raise HTTPException(408, f"{subject}: the upload took too long: send it again") from None
    except errors.PhotoError as error:
        raise HTTPException(415, str(error)) from None
    except OSError as error:
        raise storage_error(subject, error) from None


def _limited(receive: Receive, limit: int, too_large: HTTPException) -> Receive:
    """Return ``receive`` that raises for a body of more than ``limit`` bytes, and TimeoutError for one that is slow."""
    clock, size = asyncio.get_running_loop().time, 0
    start = clock()

    async def receive_within_limits() -> Message:
        nonlocal size
        async with asyncio.timeout(STALL_SECONDS):
            message = await receive()
        size += len(message.get("body", b""))
        if size > limit:
            raise too_large
        if message.get("more_body") and size < MIN_BYTES * (clock() - start - STALL_SECONDS):
            raise TimeoutError
        return message

    return receive_within_limits


@asynccontextmanager
async def _content(request: Request, is_form: bool) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
    """Yield the name ("" if it has none) and the bytes, part by part, of the photo in a request."""
    if not is_form:
        yield "", request.stream()
        return
    async with request.form(max_files=1, max_fields=1) as fields:
        file = fields.get("photo")
        if not isinstance(file, UploadFile) or not file.filename:
            raise HTTPException(422, f"{UPLOAD}: choose a file")
        yield file.filename, _parts(file)


async def _parts(file: UploadFile) -> AsyncIterator[bytes]:
    while part := await file.read(1 << 20):
        yield part


async def _write(parts: AsyncIterator[bytes], path: Path) -> bytes:
    """Write a file. Returns its first 64 bytes."""
    with path.open("x+b") as file:
        async for part in parts:
            file.write(part)
        file.seek(0)
        return file.read(64)


def plain_name(name: str) -> str:
    """Return the last part of a path, without characters that file names or headers may not contain."""
    last = re.split(r"[\\/]", name)[-1]
    return re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "", last).strip(". ")
