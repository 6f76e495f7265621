"""What endpoints share: the database, the check of a body's type, and the documented failures."""

from typing import Annotated, Any

from fastapi import Depends, Request

from src.database.database import Database
from src.exceptions.errors import NotJson
from src.schemas.envelope import Failure


async def get_db(request: Request) -> Database:
    """Return the application's database.

    It opens nothing: a connection is held only while a statement runs.
    """
    database: Database = request.app.state.database
    return database


async def require_json(request: Request) -> None:
    """Refuse a body of another media type; raises `NotJson`. No body at all is for the schema to refuse."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and await request.body():
        raise NotJson


Db = Annotated[Database, Depends(get_db)]

BAD_REQUEST: dict[int | str, dict[str, Any]] = {
    400: {"model": Failure, "description": "The input is invalid; `error` names the field and the rule."}
}
NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": Failure, "description": "There is no such task."}}
BODY_REFUSED: dict[int | str, dict[str, Any]] = {
    413: {"model": Failure, "description": "The body is larger than 64 KiB."},
    415: {"model": Failure, "description": "The body is not declared to be JSON."},
}
UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    503: {
        "model": Failure,
        "description": "The database did not answer in time.",
        "headers": {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}},
    }
}
