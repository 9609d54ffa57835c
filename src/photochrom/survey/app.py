"""The web application of a survey: its page, and the few requests that it makes."""

import secrets
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field
from starlette.staticfiles import StaticFiles

from ..server.middleware import SecurityMiddleware
from ..server.run import LOCAL_HOSTS, Address, allowed_hosts, host_name, listen, run
from .session import PRACTICE, Participant, Reply, Survey

STATIC = Path(__file__).parent / "static"
CONSENT = STATIC / "consent.txt"
MAX_TIME = 1e6  # seconds; longer than anybody waits
ALL_ADDRESSES = ("0.0.0.0", "::")
DOCUMENTATION_ADDRESS = ("192.0.2.1", 9)  # RFC 5737: nobody's

Side = Literal["left", "right"]
Time = Annotated[float, Field(ge=0, le=MAX_TIME)]
router = APIRouter()


class ReplyBody(BaseModel):
    """The body of a request that gives a reply."""

    trial: int
    choice: Side
    shown: Time
    response: Time
    width: Annotated[int, Field(ge=0, le=100_000)]
    marks: Annotated[list[Literal["paused", "repeated"]], Field(max_length=2)] = []


async def _survey(request: Request) -> Survey:
    return request.app.state.survey


TheSurvey = Annotated[Survey, Depends(_survey)]


async def _participant(identity: str, survey: TheSurvey) -> Participant:
    participant = survey.participants.get(identity)
    if participant is None:
        raise HTTPException(404, "unknown participant")
    return participant


OneParticipant = Annotated[Participant, Depends(_participant)]


def _state(participant: Participant, survey: Survey) -> dict[str, Any]:
    practice, finished = participant.next == PRACTICE, participant.next > survey.trials
    return {"participant": participant.id, "trial": participant.next, "practice": practice, "finished": finished}


@router.get("/survey")
async def describe(request: Request, survey: TheSurvey) -> dict[str, Any]:
    """Return what the page shows before anybody takes part."""
    consent, settings = request.app.state.consent, survey.settings
    return {"question": settings.question, "seconds": settings.seconds, "trials": survey.trials, "consent": consent}


@router.post("/participants", status_code=201)
def join(survey: TheSurvey) -> dict[str, Any]:
    """Add a participant, who has given consent."""
    return _state(survey.join(), survey)


@router.get("/participants/{identity}")
async def state(participant: OneParticipant, survey: TheSurvey) -> dict[str, Any]:
    """Return which trial is next."""
    return _state(participant, survey)


@router.get("/participants/{identity}/{trial}/{side}")
async def picture(participant: OneParticipant, survey: TheSurvey, trial: int, side: Side) -> Response:
    """Return a picture of the next trial: nothing in its address tells what it is."""
    jpeg = survey.jpeg(participant, trial, side)
    if jpeg is None:
        raise HTTPException(404, "this trial is not the next one")
    return Response(jpeg, media_type="image/jpeg")


@router.post("/participants/{identity}/replies")
def reply(participant: OneParticipant, survey: TheSurvey, body: ReplyBody) -> dict[str, Any]:
    """Take a reply and return which trial is next. In a thread: it waits for the disk."""
    try:
        correct = survey.answer(participant, Reply(**body.model_dump()))
    except ValueError as error:
        raise HTTPException(409, str(error)) from None
    except OSError as error:
        raise HTTPException(507, f"the answer cannot be saved ({error.strerror or error})") from None
    return {**_state(participant, survey), "correct": correct}


def create_app(survey: Survey, consent: str, token: str = "", hosts: Sequence[str] = LOCAL_HOSTS) -> FastAPI:
    """Return the application, which responds to requests for ``hosts`` below the path ``/token``."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.survey, app.state.consent = survey, consent
    app.add_middleware(SecurityMiddleware, hosts=hosts)
    prefix = f"/{token}" if token else ""
    app.include_router(router, prefix=prefix)
    # Style and icon are those of `photochrom web`.
    files = StaticFiles(directory=STATIC, packages=[("photochrom.server", "static")], html=True)
    app.mount(prefix or "/", files)
    return app


def network_names(host: str) -> list[str]:
    """Return the names by which other machines reach an address of this one, the best first.

    Empty for an address that only this machine reaches.
    """
    if host in ("127.0.0.1", "::1", "localhost"):
        return []
    if host not in ALL_ADDRESSES:
        return [host_name((host, 0))]
    names = [socket.gethostname(), f"{socket.gethostname()}.local"]
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(DOCUMENTATION_ADDRESS)  # sends nothing: it chooses the network
        names.insert(0, probe.getsockname()[0])
    return names


def serve(
    survey: Survey, consent: str, address: Address, allow: Sequence[str], on_start: Callable[[str], None]
) -> None:
    """Run the survey until Ctrl-C or SIGTERM. ``allow``: further host names; ``on_start`` gets the URL.

    A URL that other machines can reach contains a secret. Raises ValueError for an address that is not available.
    """
    listener, local, others = listen(address), host_name(address), network_names(address[0])
    path = f"{secrets.token_urlsafe(9)}/" if others or allow else ""
    app = create_app(survey, consent, path.rstrip("/"), allowed_hosts(local, *others, *allow))
    on_start(f"http://{[*others, local][0]}:{listener.getsockname()[1]}/{path}")
    run(app, listener)
