"""The HTTP API as Markdown, and its OpenAPI description, from the application itself."""

import json
from collections.abc import Iterable
from functools import cache
from http import HTTPStatus
from typing import Any

from schemas import define, describe, describe_type, table

from photochrom.server.app import create_app
from photochrom.server.limits import Limits

# What the application does not describe itself: the parts of addresses, and a few parameters.
PARAMETERS = {
    "identity": "The `id` of the job, from its status.",
    "seed": "The seed of one of the job's outputs.",
    "model": "Name of a model from /models; the first that knows likely colors if not given.",
    "wait": "Longest time to wait for a change of the state, in seconds.",
    "job": "The `id` of a job; repeatable.",
    "x": "Column of the pixel, from 0 at the left of the upright photo.",
    "y": "Row of the pixel, from 0 at the top.",
}
# FastAPI's own schemas of invalid requests: the application responds with a `Problem` instead.
INVALID = ("HTTPValidationError", "ValidationError")


@cache
def openapi() -> dict[str, Any]:
    """Return the OpenAPI description."""
    return create_app({}, Limits()).openapi()


def write_openapi() -> str:
    """Return the OpenAPI description as JSON."""
    return json.dumps(openapi(), indent=2) + "\n"


def write_routes() -> str:
    """Return a section for each route: parameters, body, responses and errors."""
    routes = []
    for path, methods in openapi()["paths"].items():
        routes += [(method.upper(), path, route) for method, route in methods.items()]
    common = set.intersection(*(errors_of(route) for _, _, route in routes))
    reason = f"with a {describe_type({'$ref': 'schemas/Problem'})}, whose `detail` says why"
    parts = [f"The [OpenAPI description as a file](openapi.json). Any route can fail {reason}: {name_errors(common)}."]
    parts += [write_route(method, path, route, common) for method, path, route in routes]
    return "\n\n".join(parts)


def errors_of(route: dict[str, Any]) -> set[str]:
    """Return the statuses of the errors of a route."""
    responses = route["responses"].items()
    return {status for status, answer in responses if status >= "400" and INVALID[0] not in json.dumps(answer)}


def name_errors(statuses: Iterable[str]) -> str:
    """Return statuses with their names."""
    return ", ".join(f"{status} {HTTPStatus(int(status)).phrase}" for status in sorted(statuses))


def write_route(method: str, path: str, route: dict[str, Any], common_errors: set[str]) -> str:
    """Return the section of a route."""
    anchor = f"{method}{path}".lower().replace("/", "-").replace("{", "").replace("}", "")
    parts = [f"### {method} {path} {{ #{anchor} }}", route.get("description", "")]
    for parameter in route.get("parameters", ()):
        schema = parameter["schema"]
        facts = f"{parameter['in']}, {describe(schema, is_required=parameter.get('required', False))}"
        text = parameter.get("description") or schema.get("description") or PARAMETERS.get(parameter["name"], "")
        parts.append(define(parameter["name"], f"{anchor}-{parameter['name']}", facts, text))
    body = route.get("requestBody")
    if body:
        parts.append(f"**Body:** {body.get('description', '')} {describe_content(body['content'])}")
    rows = []
    for status, answer in route["responses"].items():
        if status < "400":
            rows.append((status, answer["description"], describe_content(answer.get("content", {}))))
    parts.append(table(("status", "response", "content"), rows))
    errors = errors_of(route) - common_errors
    if errors:
        parts.append(f"**Further errors:** {name_errors(errors)}.")
    return "\n\n".join(parts)


def describe_content(content: dict[str, Any]) -> str:
    """Return the types of a body: a schema for JSON, else the media types."""
    kinds = []
    for media_type, kind in content.items():
        schema = kind.get("schema", {})
        is_file = schema.get("format") == "binary" or not schema
        kinds.append(f"`{media_type}`" if is_file else f"JSON: {describe_type(schema)}")
    return ", ".join(kinds)


def write_schemas() -> str:
    """Return a section for each schema of bodies that a route names."""
    parts = []
    for name, schema in openapi()["components"]["schemas"].items():
        if name in INVALID:
            continue
        text = schema.get("description", "")
        parts += [f"### {name}", text]
        rows = []
        for key, value in schema.get("properties", {}).items():
            rows.append((f"`{key}`", describe_type(value) + (" or null" if is_nullable(value) else "")))
        parts.append(table(("key", "type"), rows))
    return "\n\n".join(parts)


def is_nullable(schema: dict[str, Any]) -> bool:
    """Return whether a value may be null."""
    return any(kind.get("type") == "null" for kind in schema.get("anyOf", ()))
