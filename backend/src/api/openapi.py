"""The OpenAPI document."""

from typing import Any

from fastapi import FastAPI

from src.schemas.envelope import Failure

_UNAUTHORIZED = {
    "description": "No API key, or a wrong one.",
    "headers": {"WWW-Authenticate": {"description": "`Bearer`.", "schema": {"type": "string"}}},
    "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{Failure.__name__}"}}},
}


class DocumentedApi(FastAPI):
    """A FastAPI whose document says what its middleware and its handlers do to every operation."""

    def __init__(self, *, requires_key: bool, **options: Any) -> None:
        super().__init__(**options)
        self._requires_key = requires_key

    def openapi(self) -> dict[str, Any]:
        """Return the document: invalid input is answered with 400, and never with FastAPI's 422."""
        if self.openapi_schema is None:
            document = super().openapi()
            for path, operations in document["paths"].items():
                for operation in operations.values():
                    operation["responses"].pop("422", None)
                    if self._requires_key and not path.startswith("/health"):
                        operation["security"] = [{"apiKey": []}]
                        operation["responses"]["401"] = _UNAUTHORIZED
            for schema in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(schema, None)
            if self._requires_key:
                document["components"]["securitySchemes"] = {"apiKey": {"type": "http", "scheme": "bearer"}}
        return super().openapi()
