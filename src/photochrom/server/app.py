"""The web application: its models, routes and error responses, and the server that runs it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.staticfiles import StaticFiles

from .._processes import available_processors
from .._version import __version__
from ..core.sampling.procedure import Procedure
from ..inference import bundle
from .jobs import Jobs
from .limits import Limits
from .middleware import SecurityMiddleware
from .routes import router
from .run import LOCAL_HOSTS, Address, allowed_hosts, host_name, listen, run
from .schemas import Model, Sampler

EXPIRY_POLL_SECONDS = 30


def load_models(names: Sequence[str | Path], further: Sequence[str | Path] = ()) -> dict[str, Model]:
    """Return the models of bundles, by name. One of ``further`` gives way to another of its name before it.

    Raises ValueError for one that cannot be served and for two of ``names`` that have one name.
    """
    models: dict[str, Model] = {}
    for position, name in enumerate([*names, *further]):
        loaded, path = bundle.load(name), str(bundle.find(name).resolve())
        card, procedure = loaded.card, loaded.procedure
        if not procedure.capabilities.colorizes:
            raise ValueError(f"{name}: does not colorize photos: choose another model")
        model = Model(
            path=path,
            suggests=procedure.capabilities.has_distribution,
            solvers={solver: _sampler(procedure.with_options(solver=solver)) for solver in procedure.solvers},
            **vars(_sampler(procedure)),
            **vars(card),
        )
        other = models.setdefault(card.name, model)
        if other.path != path and position < len(names):
            raise ValueError(f"{name}: has the same name as {other.path}, {card.name}: leave one out")
    return models


def _sampler(procedure: Procedure) -> Sampler:
    return Sampler(stochastic=procedure.capabilities.stochastic, options=list(procedure.option_names()))


def create_app(
    models: Mapping[str, Model],
    limits: Limits,
    processes: int = 1,
    threads: int = 1,
    hosts: Sequence[str] = LOCAL_HOSTS,
    token: str = "",
) -> FastAPI:
    """Return the application; the first of the ``models`` is the default.

    It responds to requests for ``hosts`` or, if there is a ``token``, to those that carry it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.jobs = Jobs(next(iter(models.values())).path, limits, processes, threads)
        expiry = asyncio.create_task(_remove_expired(app.state.jobs))
        try:
            yield
        finally:
            expiry.cancel()
            await asyncio.to_thread(app.state.jobs.close)

    app = FastAPI(title="Photochrom", version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.models = models
    app.add_middleware(SecurityMiddleware, hosts=hosts, token=token, rate=limits.requests)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.include_router(router)
    app.mount("/", StaticFiles(directory=Path(__file__).parent / "static", html=True))
    return app


async def _remove_expired(jobs: Jobs) -> None:
    while True:
        await asyncio.sleep(min(EXPIRY_POLL_SECONDS, jobs.limits.retention))
        await asyncio.to_thread(jobs.remove_expired)


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    parameter = first["loc"][1]
    reason = "write it as x,y,#rrggbb, for example 120,80,#b03a2e" if parameter == "hint" else first["msg"]
    return JSONResponse({"detail": f"{parameter} {str(first['input'])[:100]!r}: {reason}"}, 422)


def serve(  # noqa: PLR0913 - each is an option of the command
    models: tuple[Sequence[str], Sequence[str]],
    limits: Limits,
    address: Address,
    hosts: Sequence[str],
    processes: int,
    on_start: Callable[[str], None],
    token: str = "",
) -> None:
    """Run the server until Ctrl-C or SIGTERM. ``hosts``: further names of it; ``on_start`` gets its URL.

    ``models``: the arguments of `load_models`. ``token``: what requests have to carry; "" for none.

    Raises ValueError for a model that cannot be served and for an address that is not available.
    """
    served, listener = load_models(*models), listen(address)
    name = host_name(address)
    threads = max(1, available_processors() // processes)
    app = create_app(served, limits, processes, threads, allowed_hosts(name, *hosts), token)
    on_start(f"http://{name}:{listener.getsockname()[1]}" + (f"/?token={token}" if token else ""))
    run(app, listener, on_shutdown=lambda: app.state.jobs.close())
