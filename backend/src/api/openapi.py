"""The OpenAPI document."""

from copy import deepcopy
from typing import Any

from fastapi import FastAPI

_UNAUTHORIZED = {
    "description": "No API key, or a wrong one.",
    "headers": {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    "content": {
        "application/json": {
            "schema": {"$ref": "#/components/schemas/Failure"},
            "examples": {"failure": {"value": "An API key is required: Authorization: Bearer KEY"}},
        }
    },
}


class DocumentedApi(FastAPI):
    """A FastAPI whose document says what its middleware and its handlers do to every operation."""

    def __init__(self, *, requires_key: bool, **options: Any) -> None:
        super().__init__(**options)
        self._requires_key = requires_key

    def openapi(self) -> dict[str, Any]:
        """Return the document: invalid input is answered with 400, and never with FastAPI's 422."""
        if self.openapi_schema is None:
            self._complete(super().openapi())
        return super().openapi()

    def _complete(self, document: dict[str, Any]) -> None:
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["responses"].pop("422", None)
                if self._requires_key and not path.startswith("/health"):
                    operation["security"] = [{"apiKey": []}]
                    operation["responses"]["401"] = deepcopy(_UNAUTHORIZED)
                for response in operation["responses"].values():
                    _show_envelope(response)
        for schema in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(schema, None)
        if self._requires_key:
            document["components"]["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer"}}


def _show_envelope(response: dict[str, Any]) -> None:
    """Put the envelope around the sentence of a failure: FastAPI would drop the nulls in it."""
    for example in response["content"]["application/json"].get("examples", {}).values():
        example["value"] = {"success": False, "data": None, "popup": None, "error": example["value"]}
