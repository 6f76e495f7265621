"""Turns every failure into a response in the envelope; only here do failures meet HTTP."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route

from src.exceptions.errors import (
    BODY_TOO_LARGE,
    DatabaseUnavailable,
    NotJson,
    SchemaOutdated,
    ServiceError,
    TaskNotFound,
    TooManyLists,
)
from src.utils.response import failure

RETRY_AFTER_S = 2

_STATUS_CODES: dict[type[ServiceError], int] = {
    TaskNotFound: 404,
    NotJson: 415,
    DatabaseUnavailable: 503,
    TooManyLists: 503,
    SchemaOutdated: 503,
}

# What is said of requests that reach no endpoint.
_FRAMEWORK_ERRORS = {
    400: "body: is not valid JSON",
    404: "There is no such path",
    405: "The method is not allowed on this path",
    413: BODY_TOO_LARGE,
}

# What pydantic and FastAPI say of a request's shape, in the words of this API. The rules for
# single fields, in src/utils/validators.py, bring their own words.
_SHAPE_ERRORS = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "json_invalid": "is not valid JSON",
    "model_attributes_type": "must be a JSON object",
    "enum": "must be one of {expected}",
    "string_unicode": "must not contain lone surrogates",
}

# What an edit may not set, in the words for a frontend that sends a whole task back.
_UNEDITABLE_FIELDS = {
    "is_completed": "is changed by PATCH /tasks/{id}/complete or /incomplete",
    **dict.fromkeys(("id", "created_at", "updated_at", "completed_at"), "is read-only"),
}

# An answer stays short, whatever a hostile request piles up.
_MAX_PROBLEMS = 5
_MAX_NAME_LENGTH = 64


def register_handlers(app: FastAPI) -> None:
    """Let `app` answer every failure in the envelope, but for the unexpected: see `api.middleware`."""
    app.add_exception_handler(ServiceError, answer_service_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, answer_framework_error)


async def answer_service_error(request: Request, error: Exception) -> Response:
    """Return the response that tells of a `ServiceError`."""
    assert isinstance(error, ServiceError)
    status_code = _STATUS_CODES[type(error)]
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status_code == 503 else None
    return failure(status_code, error.message, headers)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    unknown = _UNEDITABLE_FIELDS if request.method == "PUT" else {}
    problems = [f"{_field(problem['loc'])}: {_rule(problem, unknown)}" for problem in error.errors()[:_MAX_PROBLEMS]]
    return failure(400, "; ".join(problems))


async def answer_framework_error(request: Request, error: Exception) -> Response:
    """Return the response that tells of an `HTTPException`."""
    assert isinstance(error, HTTPException)
    # What refuses JSON (src/api/json_body.py) brings its own words.
    is_own = error.detail.startswith("body: ")
    sentence = error.detail if is_own else _FRAMEWORK_ERRORS.get(error.status_code, "The request cannot be served")
    headers = {"Allow": ", ".join(_allowed_methods(request))} if error.status_code == 405 else error.headers
    return failure(error.status_code, sentence, headers)


def _field(location: Sequence[Any]) -> str:
    """Name the field at fault: `title` for `("body", "title")`, and `body` for the body itself.

    The name may be the caller's own, so it is cut, and quoted where it could not be read otherwise.
    """
    if len(location) < 2 or not isinstance(location[1], str):
        return str(location[0])
    name = location[1][:_MAX_NAME_LENGTH]
    return name if name.isprintable() and name else repr(name)


def _rule(problem: dict[str, Any], unknown: Mapping[str, str]) -> str:
    """The rule that is broken, without the input that broke it. `unknown` says more of some unknown fields."""
    if problem["type"] == "extra_forbidden" and problem["loc"][-1] in unknown:
        return unknown[problem["loc"][-1]]
    sentence: str = _SHAPE_ERRORS.get(problem["type"], problem["msg"])
    return sentence.format(**problem["ctx"]) if problem["type"] == "enum" else sentence


def _allowed_methods(request: Request) -> list[str]:
    """Every method that some route answers on the request's path; the framework knows of one route."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods: set[str] = set()
    for route in request.app.router.routes:
        if isinstance(route, Route) and route.path_regex.match(path):
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    # No route, but a file of the documentation.
    return sorted(methods or {"GET", "HEAD"})
