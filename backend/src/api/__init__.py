"""The HTTP interface: routes, middleware, the reading of requests, and the OpenAPI document."""
