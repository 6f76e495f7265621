"""Turns every failure into a response in the envelope. Only this module gives a `ServiceError` its status."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from src.exceptions.errors import (
    BODY_TOO_LARGE,
    DatabaseUnavailable,
    DiskFull,
    EntryNotFound,
    EntryTooOld,
    InvalidInput,
    KeyReused,
    NotJson,
    PreconditionFailed,
    SchemaOutdated,
    ServiceError,
    TaskNotFound,
    TooManyExports,
    TooManyListeners,
    TooManyLists,
    UndoConflict,
)
from src.utils.response import entity_tag, failure

_STATUS_CODES: dict[type[ServiceError], int] = {
    InvalidInput: 400,
    TaskNotFound: 404,
    EntryNotFound: 404,
    UndoConflict: 409,
    EntryTooOld: 409,
    PreconditionFailed: 412,
    NotJson: 415,
    KeyReused: 422,
    DatabaseUnavailable: 503,
    DiskFull: 503,
    TooManyLists: 503,
    TooManyExports: 503,
    TooManyListeners: 503,
    SchemaOutdated: 503,
}

# The sentences for requests that reach no endpoint.
_FRAMEWORK_ERRORS = {
    400: "body: is not valid JSON",
    404: "There is no such path",
    405: "The method is not allowed on this path",
    413: BODY_TOO_LARGE,
}

# Errors of pydantic and FastAPI about the shape of a request, in the words of this API. The rules for
# single fields, in src/utils/validators.py, raise errors that already have them.
_SHAPE_ERRORS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "json_invalid": "is not valid JSON",
    "model_attributes_type": "must be a JSON object",
    "enum": "must be one of {expected}",
    "string_unicode": "must not contain lone surrogates",
}

# Fields that PUT must not set. A frontend that sends a whole task back learns why.
_UNEDITABLE_FIELDS = {
    "is_completed": "is changed by PATCH /tasks/{id}/complete or /incomplete",
    **dict.fromkeys(("id", "created_at", "updated_at", "completed_at"), "is read-only"),
}

# Limits that keep the response short, however many problems a hostile request has.
_MAX_PROBLEMS = 5
_MAX_NAME_LENGTH = 64


def register_handlers(app: FastAPI) -> None:
    """Make `app` answer failures in the envelope; unexpected ones are left to `src.api.middleware`."""
    app.add_exception_handler(ServiceError, answer_service_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, answer_framework_error)


async def answer_service_error(request: Request, error: Exception) -> Response:
    """Return the response for a `ServiceError`."""
    assert isinstance(error, ServiceError)
    # RFC 9110, 15.5.13, lets a 412 say what the caller has missed.
    headers = {"ETag": entity_tag(error.updated_at)} if isinstance(error, PreconditionFailed) else None
    return failure(_STATUS_CODES[type(error)], error.message, headers)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    unknown = _UNEDITABLE_FIELDS if request.method == "PUT" else {}
    problems = [f"{_field(problem['loc'])}: {_rule(problem, unknown)}" for problem in error.errors()[:_MAX_PROBLEMS]]
    return failure(400, "; ".join(problems))


async def answer_framework_error(request: Request, error: Exception) -> Response:
    """Return the response for an `HTTPException`."""
    assert isinstance(error, HTTPException)
    # Errors of src/api/json_body.py already have the words of this API.
    is_own = error.detail.startswith("body: ")
    sentence = error.detail if is_own else _FRAMEWORK_ERRORS.get(error.status_code, "The request cannot be served")
    headers = {"Allow": ", ".join(_allowed_methods(request))} if error.status_code == 405 else error.headers
    return failure(error.status_code, sentence, headers)


def _field(location: Sequence[Any]) -> str:
    """Return the name of the invalid field: `title` for `("body", "title")`, and `body` for the body itself.

    The caller may have chosen the name, so it is cut, and quoted if it is empty or not printable.
    """
    if len(location) < 2 or not isinstance(location[1], str):
        return str(location[0])
    name = location[1][:_MAX_NAME_LENGTH]
    return name if name.isprintable() and name else repr(name)


def _rule(problem: dict[str, Any], unknown: Mapping[str, str]) -> str:
    """Return the broken rule, without the input that broke it. `unknown` has rules for some unknown fields."""
    if problem["type"] == "extra_forbidden" and problem["loc"][-1] in unknown:
        return unknown[problem["loc"][-1]]
    sentence: str = _SHAPE_ERRORS.get(problem["type"], problem["msg"])
    return sentence.format(**problem["ctx"]) if problem["type"] == "enum" else sentence


def _allowed_methods(request: Request) -> list[str]:
    """Return the methods of all routes on the request's path; Starlette names only those of one route."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods: set[str] = set()
    for route in request.app.router.routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    # No route matches if the path is a file of the documentation.
    return sorted(methods or {"GET", "HEAD"})
