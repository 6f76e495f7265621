"""The page at `/`, and its files below `/web`."""

from hashlib import sha256

from fastapi import APIRouter, Response
from starlette.exceptions import HTTPException

from config import BACKEND
from src.api.conditions import IfNoneMatch
from src.api.security import WEB_PAGE_POLICY

router = APIRouter(include_in_schema=False)

_DIRECTORY = BACKEND / "src" / "web"
# Not `mimetypes`: its answers depend on the machine.
_MEDIA_TYPES = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
# Read once: no path of a request reaches the file system.
_FILES = {file.name: file.read_bytes() for file in _DIRECTORY.iterdir() if file.suffix in _MEDIA_TYPES}
# Of the content, not of its time, so every machine behind a load balancer gives the same tag.
_TAGS = {name: f'"{sha256(content).hexdigest()[:32]}"' for name, content in _FILES.items()}


@router.get("/")
async def get_page(tags: IfNoneMatch) -> Response:
    """Answer with the page, a client of this API."""
    return _answer("index.html", tags)


@router.get("/web/{name}")
async def get_file(name: str, tags: IfNoneMatch) -> Response:
    """Answer with a file that the page loads."""
    if name not in _FILES:
        raise HTTPException(404)
    return _answer(name, tags)


def _answer(name: str, tags: list[str] | None) -> Response:
    # The browser asks each time, so that a page and its scripts are never of different versions.
    headers = {"ETag": _TAGS[name], "Cache-Control": "no-cache", "Content-Security-Policy": WEB_PAGE_POLICY}
    if tags is not None and not {"*", _TAGS[name]}.isdisjoint(tags):
        return Response(status_code=304, headers=headers)
    return Response(_FILES[name], headers=headers, media_type=_MEDIA_TYPES[name[name.rindex(".") :]])
