"""A fast path to the endpoints, past FastAPI's general machinery, for valid requests.

For each request FastAPI tries one route after the other, makes exit stacks, a response for the headers of
dependencies and a cache of dependencies, and inspects every function. No endpoint here needs that, and it
takes longer than the database takes for one task. The rules stay FastAPI's: this path validates with the
fields that FastAPI has made of the endpoint, and hands a request with any fault to FastAPI untouched.
Delete this, and `ShortCut` in startup.py, once FastAPI's overhead no longer matters; nothing else changes.
"""

import inspect
from collections.abc import Hashable, Iterable
from functools import cache
from typing import Any, get_args, get_origin

from fastapi import Request, Response
from fastapi._compat import ModelField
from fastapi.routing import APIRoute
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from src.api.json_body import parse_json
from src.exceptions.errors import ServiceError
from src.exceptions.handlers import answer_framework_error, answer_service_error

# The index of the only path segment that may be a parameter. That makes routing a dictionary lookup, without
# patterns.
_PARAMETER = 2


class ShortCut:
    """Calls the endpoints of the plain routes (see `_is_plain`) itself, and leaves everything else to FastAPI."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self.app = app
        self._routes = {
            (method, *_pattern(route)): route
            for route in routes
            if isinstance(route, APIRoute) and _is_plain(route)
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Leave to FastAPI: a mounted application, overridden dependencies (tests), traced requests.
        if (
            scope["type"] != "http"
            or scope.get("root_path")
            or scope["app"].dependency_overrides
            or "fastapi.telemetry" in scope
        ):
            await self.app(scope, receive, send)
            return
        segments: list[str | None] = scope["path"].split("/")
        route = self._routes.get((scope["method"], *segments))
        in_path = None
        if route is None and len(segments) > _PARAMETER:
            in_path, segments[_PARAMETER] = segments[_PARAMETER], None
            route = self._routes.get((scope["method"], *segments))
        if route is None:
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            arguments = await _arguments(route, request, in_path)
            if arguments is None:
                await self.app(scope, _received_again(request), send)
                return
            scope["route"] = route
            response: Response = await route.endpoint(**arguments)
        except ClientDisconnect:
            await self.app(scope, receive, send)
            return
        except ServiceError as error:
            response = await answer_service_error(request, error)
        except HTTPException as error:
            response = await answer_framework_error(request, error)
        await response(scope, receive, send)


async def _arguments(route: APIRoute, request: Request, in_path: str | None) -> dict[str, Any] | None:
    """Return the arguments of the endpoint of `route`; None if the request has a fault."""
    of = route.dependant
    given: list[tuple[ModelField, Any]] = [(field, in_path) for field in of.path_params]
    if request.scope["query_string"]:
        query = request.query_params
        given += [(field, _value(field, query)) for field in of.query_params if field.alias in query]
    if route.body_field is not None:
        body = await request.body()
        if not body or request.headers.get("content-type") != "application/json":
            return None
        given.append((route.body_field, parse_json(body)))
    arguments: dict[str, Any] = {}
    for field, value in given:
        arguments[field.name], errors = field.validate(value, arguments, loc=())
        if errors:
            return None
    for dependency in of.dependencies:
        assert dependency.call is not None
        value = await dependency.call(request)
        if dependency.name is not None:
            arguments[dependency.name] = value
    if of.request_param_name is not None:
        arguments[of.request_param_name] = request
    return arguments


def _value(field: ModelField, query: QueryParams) -> str | list[str]:
    """Return the value of a parameter, or all its values if it may have several."""
    is_list = _is_list(field.field_info.annotation)  # type: ignore[arg-type]  # A type is hashable.
    return query.getlist(field.alias) if is_list else query[field.alias]


@cache
def _is_list(annotation: Hashable) -> bool:
    return any(get_origin(option) is list for option in (annotation, *get_args(annotation)))


def _pattern(route: APIRoute) -> list[str | None]:
    return [None if segment.startswith("{") else segment for segment in route.path.split("/")]


def _is_plain(route: APIRoute) -> bool:
    """Whether an endpoint takes at most one parameter in its path, optional ones in its query, and one body.

    Its dependencies may take the request and nothing else.
    """
    of = route.dependant
    return (
        [place for place, segment in enumerate(_pattern(route)) if segment is None]
        == [_PARAMETER for _ in of.path_params]
        and not any(field.field_info.is_required() for field in of.query_params)
        and len(of.body_params) <= 1
        and not (of.header_params or of.cookie_params or of.response_param_name or of.background_tasks_param_name)
        and all(
            inspect.iscoroutinefunction(dependency.call)
            and list(inspect.signature(dependency.call).parameters) == [dependency.request_param_name]
            for dependency in of.dependencies
        )
    )


def _received_again(request: Request) -> Receive:
    """Return a `receive` that starts again with the body that `request` has read."""
    if not hasattr(request, "_body"):
        return request.receive
    messages: list[Message] = [{"type": "http.request", "body": request._body, "more_body": False}]

    async def receive() -> Message:
        return messages.pop() if messages else await request.receive()

    return receive
