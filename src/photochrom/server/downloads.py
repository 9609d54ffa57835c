"""Photos that go out: files of jobs, and zips of the outputs of several."""

import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fastapi.responses import FileResponse, JSONResponse
from starlette.types import Message, Receive, Scope, Send

from ..inference.settings import settings_text
from .jobs import REMOVED, Job, Jobs, storage_error


class StoredFile(FileResponse):
    """A file of a job. Nothing is sent before it is open, so that it is reported if it has been deleted meanwhile."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the file, or 404 if there is none."""
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


def link_outputs(
    jobs: Jobs, sources: Sequence[Job], models: Mapping[str, str] | None = None
) -> tuple[tempfile.TemporaryDirectory[str], list[tuple[str, Path]]]:
    """Returns a folder of links to the outputs of jobs, and their titles and paths; they stay when jobs are removed.

    ``models``: names of the bundles by path; with them, the settings of each output are a file beside it.

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
                if models:
                    links.append((source.settings_title(seed), Path(folder.name) / str(len(links))))
                    links[-1][1].write_text(_settings_of(source, seed, models[source.request.model]))
    except OSError as error:
        if folder:
            folder.cleanup()
        raise storage_error("archive", error) from None
    return folder, links


def _settings_of(job: Job, seed: int, model: str) -> str:
    assert job.opened
    photo = {"name": job.name, "width": job.opened.width, "height": job.opened.height}
    return settings_text(photo, model, replace(job.request.options, seed=seed, variants=1), job.request.page)


class _Buffer(bytearray):
    """An unseekable file for `zipfile`, from which each piece is taken as soon as it is written."""

    def write(self, piece: bytes) -> int:
        self.extend(piece)
        return len(piece)

    def flush(self) -> None:
        pass


def zip_pieces(folder: tempfile.TemporaryDirectory[str], outputs: Sequence[tuple[str, Path]]) -> Iterator[bytes]:
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
