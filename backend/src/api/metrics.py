"""`/metrics`, for Prometheus."""

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder

from src.observability.metrics import registry

router = APIRouter(include_in_schema=False)


# Not `async`: rendering takes milliseconds, and no request should wait for that.
@router.get("/metrics")
def get_metrics(request: Request) -> Response:
    """Answer in the format that the caller prefers: OpenMetrics, or Prometheus's own."""
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return Response(encode(registry()), headers={"Content-Type": content_type})
