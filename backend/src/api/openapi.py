"""The OpenAPI document."""

from typing import Any

from fastapi import FastAPI


class DocumentedApi(FastAPI):
    """A FastAPI whose document says what this API answers to invalid input: 400, in the envelope."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, without the 422 that FastAPI adds to every operation with parameters."""
        if self.openapi_schema is None:
            document = super().openapi()
            for path in document["paths"].values():
                for operation in path.values():
                    operation["responses"].pop("422", None)
            for schema in ("HTTPValidationError", "ValidationError"):
                document["components"]["schemas"].pop(schema, None)
        return super().openapi()
