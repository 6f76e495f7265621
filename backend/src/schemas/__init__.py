"""The shapes of requests and responses: pydantic checks them, and the OpenAPI document shows them."""
