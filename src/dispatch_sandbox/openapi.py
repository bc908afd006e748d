"""The sandbox's OpenAPI 3.1 document, made of what it works with.

The paths are its endpoints, a body is the form that its endpoint takes, an answer is the model
that a client reads. Nothing about the API is written here a second time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from http.client import responses
from typing import Any

from pydantic.json_schema import models_json_schema

from dispatch_sandbox.endpoints import Answers, Endpoint
from dispatch_sandbox.naming import BRANDS, WORKSPACES, Style
from dispatch_sandbox.resources import (
    ACCOUNT_ENDPOINTS,
    ENDPOINTS,
    OPEN_ENDPOINTS,
    PORTAL_ENDPOINTS,
    ROOT_ENDPOINTS,
    fields,
)
from dispatch_sandbox.wire import Record

MAX_KEY = 255
"""Characters of an idempotency key."""

_REFUSALS = (400, 401, 403, 404, 409, 413, 429)
_ID: Record = {"type": "string", "pattern": "^[A-Za-z0-9_-]+$"}
_HEADERS = {
    "x-request-id": "string",
    "x-sandbox": "string",
    "x-ratelimit-limit": "integer",
    "x-ratelimit-remaining": "integer",
    "x-ratelimit-reset": "integer",
}
_ABOUT = (
    "A test double of the Dispatch Tickets API, as far as that is public. It is not the service."
    " Everything below a workspace is there in both wire styles. A field that is not known is"
    " ignored."
)


def document(origin: str) -> Record:
    """Return the OpenAPI document of the server at `origin`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "dispatch-returns sandbox", "version": "1", "description": _ABOUT},
        "servers": [{"url": f"{origin}/v1"}],
        "security": [{"apiKey": []}],
        **_parts(),
    }


@cache
def _parts() -> Record:
    paths: Record = {}
    for style, base, endpoints, security in _families():
        for endpoint in endpoints:
            path = _Path(f"{base}/{endpoint.path}".rstrip("/"))
            operation = _operation(endpoint, style, path)
            if security is not None:
                operation["security"] = security
            paths.setdefault(path.template, {})[endpoint.method.lower()] = operation
    bearer = {"type": "http", "scheme": "bearer"}
    components: Record = {
        "securitySchemes": {"apiKey": bearer, "portalToken": bearer | {"bearerFormat": "JWT"}},
        "headers": {
            name: {"required": True, "schema": {"type": kind}} for name, kind in _HEADERS.items()
        },
        "responses": {str(status): _refusal(status) for status in _REFUSALS},
        "schemas": {"Error": _ERROR, "Pagination": _PAGINATION}
        | _schemas(WORKSPACES)
        | _schemas(BRANDS),
    }
    return {"paths": paths, "components": components}


def _families() -> Iterator[tuple[Style, str, tuple[Endpoint, ...], list[Record] | None]]:
    for style in (WORKSPACES, BRANDS):
        yield style, f"/{style.word}", ROOT_ENDPOINTS, None
        yield style, f"/{style.word}/*", ENDPOINTS, None
    yield BRANDS, "", ACCOUNT_ENDPOINTS, None
    yield BRANDS, "", OPEN_ENDPOINTS, []
    yield BRANDS, "", PORTAL_ENDPOINTS, [{"portalToken": []}]


class _Path:
    """A path with a name for each id in it, after the word before it."""

    def __init__(self, path: str) -> None:
        words: list[str] = []
        self.ids: dict[str, Record] = {}
        for word in path.split("/"):
            if word != "*":
                words.append(word)
                continue
            name, schema = _named(words[-1])
            self.ids[name] = schema
            words.append(f"{{{name}}}")
        self.template = "/".join(words)


def _named(word: str) -> tuple[str, Record]:
    if word == "fields":
        return "entity", {"type": "string", "enum": list(fields.ENTITIES)}
    if word == "{entity}":
        return "key", _ID
    one = re.sub("s$", "", re.sub("ies$", "y", re.sub("uses$", "us_", word))).rstrip("_")
    return f"{one.replace('-', '_')}_id", _ID


def _operation(endpoint: Endpoint, style: Style, path: _Path) -> Record:
    resource = endpoint.handler.__module__.rpartition(".")[2]
    words = re.findall(r"\w+", path.template)
    answers = endpoint.answers
    known = {str(endpoint.status): _response(endpoint.status, _shape(answers, style))}
    if answers.may_be_empty:
        known["204"] = _response(204)
    operation: Record = {
        "operationId": "_".join((endpoint.method.lower(), *words)),
        "summary": f"{resource}: {endpoint.handler.__name__}".replace("_", " "),
        "tags": [resource],
        "parameters": [*_parameters(endpoint, style, path)],
        "responses": known
        | {str(status): {"$ref": f"#/components/responses/{status}"} for status in _REFUSALS},
    }
    if endpoint.takes.checks:
        operation["requestBody"] = {
            "required": bool(endpoint.takes.required),
            "content": _json(
                {
                    "type": "object",
                    "properties": {
                        style.spell(name): it.schema for name, it in endpoint.takes.checks.items()
                    },
                    "required": [style.spell(name) for name in endpoint.takes.required],
                }
            ),
        }
    return operation


def _parameters(endpoint: Endpoint, style: Style, path: _Path) -> Iterator[Record]:
    for name, schema in path.ids.items():
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, schema in endpoint.query.items():
        required = name in endpoint.required_query
        yield {"name": style.spell(name), "in": "query", "required": required, "schema": schema}
    if endpoint.method == "POST":
        key = {"type": "string", "maxLength": MAX_KEY}
        yield {"name": "X-Idempotency-Key", "in": "header", "schema": key}


def _shape(answers: Answers, style: Style) -> Record:
    one = {"$ref": _REFERENCE.format(_prefix(style) + answers.model.__name__)}
    if answers.shape == "one":
        return one
    array: Record = {"type": "array", "items": one}
    if answers.shape == "array":
        return array
    return {
        "type": "object",
        "properties": {"data": array, "pagination": {"$ref": _REFERENCE.format("Pagination")}},
        "required": ["data", "pagination"],
    }


def _response(status: int, schema: Record | None = None) -> Record:
    response: Record = {
        "description": responses[status],
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS},
    }
    return response if schema is None else response | {"content": _json(schema)}


def _refusal(status: int) -> Record:
    response = _response(status, {"$ref": _REFERENCE.format("Error")})
    if status == 413:  # it is refused before anything about the caller is known
        del response["headers"]
    if status == 429:
        response["headers"]["retry-after"] = {"schema": {"type": "integer"}}
    return response


def _json(schema: Record) -> Record:
    return {"application/json": {"schema": schema}}


def _schemas(style: Style) -> Record:
    families = [endpoints for known, _, endpoints, _ in _families() if known is style]
    models = {endpoint.answers.model for endpoints in families for endpoint in endpoints}
    prefix = _prefix(style)
    _, made = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda it: it.__name__)],
        by_alias=False,
        ref_template=_REFERENCE.format(f"{prefix}{{model}}"),
    )
    return {f"{prefix}{name}": _spelled(schema, style) for name, schema in made["$defs"].items()}


def _spelled(schema: Record, style: Style) -> Record:
    """Return a model's schema the names that the style has for its fields."""
    spelled: Record = schema | {
        "properties": {_wire(name, style): it for name, it in schema["properties"].items()}
    }
    if "required" in schema:
        spelled["required"] = [_wire(name, style) for name in schema["required"]]
    return spelled


def _wire(name: str, style: Style) -> str:
    """Return a style's name of a model's field: a workspace is a brand in the wire style."""
    brands = re.sub("_([a-z])", lambda it: it[1].upper(), name.replace("workspace", "brand"))
    return style.spell("title" if name == "subject" else brands)


def _prefix(style: Style) -> str:
    return "" if style is WORKSPACES else "Brands"


_REFERENCE = "#/components/schemas/{}"
_TEXT: Record = {"type": "string"}
_ERROR: Record = {
    "type": "object",
    "properties": {
        "message": _TEXT,
        "error": _TEXT,
        "code": _TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": _TEXT, "message": _TEXT},
                "required": ["field", "message"],
            },
        },
    },
    "required": ["message", "error", "code", "errors"],
}
_CURSOR: Any = {"type": ["string", "null"]}
_PAGINATION: Record = {
    "type": "object",
    "properties": {"hasMore": {"type": "boolean"}, "cursor": _CURSOR, "nextCursor": _CURSOR},
    "required": ["hasMore", "cursor", "nextCursor"],
}
