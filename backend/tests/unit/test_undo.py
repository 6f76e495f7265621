"""What an entry must keep so that its change can be undone."""

from typing import get_type_hints

from src.models import Task
from src.schemas.history import Changes
from src.services.change_parts import FIELDS


def test_an_entry_keeps_every_field_of_a_task() -> None:
    """`updated_at` is the entry's own timestamp."""
    columns = {column.name for column in Task.__table__.c}
    assert set(FIELDS) == columns - {"id", "updated_at"}
    assert tuple(get_type_hints(Changes)) == FIELDS
