"""The OpenAPI document."""

from typing import Any

from fastapi import FastAPI
from pydantic import TypeAdapter

from src.schemas.envelope import Popup
from src.schemas.samples import SAMPLES

_API_KEY = {
    "type": "http",
    "scheme": "bearer",
    "description": "One of the keys in API_KEY, where the service is set up to ask for keys.",
}

_REQUEST_ID = {
    "description": "The name of this request in the service's log: the caller's own, where it sent one.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 64},
}


def complete_document(app: FastAPI) -> None:
    """Add to the document of `app` what its middleware and its exception handlers do to every operation.

    After https://fastapi.tiangolo.com/how-to/extending-openapi/.
    """
    generate = app.openapi

    def generate_completely() -> dict[str, Any]:
        if app.openapi_schema is None:
            _complete(generate(), requires_key=app.state.requires_key)
        return generate()

    app.openapi = generate_completely  # type: ignore[method-assign]


def _complete(document: dict[str, Any], *, requires_key: bool) -> None:
    components = document["components"]
    for operations in document["paths"].values():
        for operation in operations.values():
            # Invalid input gets 400, never FastAPI's 422.
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                operation["responses"].pop("422")
            operation["responses"] = dict(sorted(operation["responses"].items()))
            if "401" in operation["responses"]:
                operation["security"] = [{"apiKey": []}] if requires_key else [{}, {"apiKey": []}]
            for parameter in operation.get("parameters", []):
                _forbid_null(parameter["schema"])
            for status_code, response in operation["responses"].items():
                _complete_answer(status_code, response, components["schemas"])
    for schema in ("HTTPValidationError", "ValidationError"):
        components["schemas"].pop(schema, None)
    # Each envelope allows one of these, so none shows them all.
    components["schemas"]["Popup"] = TypeAdapter(Popup).json_schema()
    components["headers"] = {"X-Request-ID": _REQUEST_ID}
    components["securitySchemes"] = {"apiKey": _API_KEY}


def _complete_answer(status_code: str, response: dict[str, Any], schemas: dict[str, Any]) -> None:
    response.setdefault("headers", {})["X-Request-ID"] = {"$ref": "#/components/headers/X-Request-ID"}
    content = response.get("content", {})
    if "text/event-stream" in content:
        # FastAPI adds JSON, but a stream has no envelope.
        content.pop("application/json")
    elif status_code.startswith("2"):
        envelope = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
        response["description"] = schemas[envelope]["description"]
        # Not earlier: FastAPI would drop the nulls in it.
        content["application/json"]["example"] = SAMPLES[envelope]
    elif content:
        _show_envelope(response)


def _forbid_null(schema: dict[str, Any]) -> None:
    """Remove null from an optional parameter's types: a query string cannot express it."""
    if "anyOf" in schema:
        [present] = [option for option in schema.pop("anyOf") if option != {"type": "null"}]
        schema.update(present)


def _show_envelope(response: dict[str, Any]) -> None:
    """Put the envelope around the sentence of a failure. FastAPI would have dropped the nulls in it."""
    for example in response["content"]["application/json"]["examples"].values():
        example["value"] = {"success": False, "data": None, "popup": None, "error": example["value"]}
