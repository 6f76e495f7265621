"""Example responses for the documentation, which follow the life of one task.

Each example is a whole envelope, under the name of its schema, with the keys in the order of a real response.
"""

import json
from typing import Any

_TASK_ID = "0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11"
_CREATED_AT = "2026-11-20T09:30:00.482911Z"
_UPDATED_AT = "2026-11-20T11:02:43.107350Z"
_COMPLETED_AT = "2026-11-20T16:45:12.345678Z"
_REOPENED_AT = "2026-11-20T16:47:30.900214Z"

_CREATED: dict[str, Any] = {
    "id": _TASK_ID,
    "title": "Buy groceries",
    "description": "Milk, bread and cheese",
    "is_completed": False,
    "created_at": _CREATED_AT,
    "updated_at": _CREATED_AT,
    "completed_at": None,
}
_UPDATED = {**_CREATED, "title": "Buy groceries and flowers", "updated_at": _UPDATED_AT}
_COMPLETED = {**_UPDATED, "is_completed": True, "updated_at": _COMPLETED_AT, "completed_at": _COMPLETED_AT}
_REOPENED = {**_UPDATED, "updated_at": _REOPENED_AT}
_OTHER = {
    "id": "8a35c2de-8fc8-4fcf-a2dc-d56352f98d82",
    "title": "Call the dentist",
    "description": None,
    "is_completed": False,
    "created_at": "2026-11-20T10:12:05.031446Z",
    "updated_at": "2026-11-20T10:12:05.031446Z",
    "completed_at": None,
}

_HISTORY: dict[str, Any] = {
    "items": [
        {
            "history_id": "da3c90a6-876d-446a-8081-57457b5b082c",
            "task_id": _TASK_ID,
            "action_type": "COMPLETED",
            "description": "Task marked as completed",
            "timestamp": _COMPLETED_AT,
            "task_title": "Buy groceries and flowers",
        },
        {
            "history_id": "c3ed48d6-bc8d-48d6-a03b-cedac0848d32",
            "task_id": _TASK_ID,
            "action_type": "UPDATED",
            "description": "Title changed from 'Buy groceries' to 'Buy groceries and flowers'",
            "timestamp": _UPDATED_AT,
            "task_title": "Buy groceries and flowers",
        },
    ],
    "pagination": {
        "total_count": 42,
        "total_pages": 21,
        "current_page": 1,
        "page_size": 2,
        "has_next": True,
        "has_prev": False,
    },
}
_ENTRY = {
    **_HISTORY["items"][0],
    "changes": {
        "is_completed": {"before": False, "after": True},
        "completed_at": {"before": None, "after": _COMPLETED_AT},
    },
    "undoes": None,
    "undone_by": "ea447b77-fad1-457b-9f65-747778b9eb0d",
}
_STATS = {
    "tasks_created_this_week": 12,
    "tasks_completed_this_week": 7,
    "total_completed": 30,
    "total_incomplete": 9,
    "total_tasks": 39,
    "week_start": "2026-11-16T00:00:00Z",
    "week_end": "2026-11-22T23:59:59Z",
}
_DAYS = {
    "tz": "Europe/Berlin",
    "days": [
        {"date": "2026-11-19", "tasks_created": 0, "tasks_completed": 0, "changes": 0},
        {"date": "2026-11-20", "tasks_created": 2, "tasks_completed": 1, "changes": 5},
    ],
}
# A stream, as far as it has come.
EVENTS = (
    "retry: 3000\nid: 7fb2c1a90e54d3f8-c3ed48d6bc8d48d6a03bcedac0848d32-1042\n\n"
    "event: change\nid: 7fb2c1a90e54d3f8-da3c90a6876d446a808157457b5b082c-1044-1\n"
    f"data: {json.dumps(_HISTORY['items'][0], separators=(',', ':'))}\n\n"
    ":\n\n"
)


def _success(data: object, popup: str | None = None) -> dict[str, Any]:
    return {"success": True, "data": data, "popup": popup, "error": None}


SAMPLES = {
    "TaskCreated": _success(_CREATED, "TASK_CREATED"),
    "TaskUpdated": _success(_UPDATED, "TASK_UPDATED"),
    "TaskCompleted": _success(_COMPLETED, "TASK_COMPLETED"),
    "TaskIncomplete": _success(_REOPENED, "TASK_INCOMPLETE"),
    "TaskDeleted": _success(None, "TASK_DELETED"),
    "TaskFetched": _success(_UPDATED),
    "TasksListed": _success([_OTHER, _COMPLETED]),
    "HistoryFetched": _success(_HISTORY),
    "EntryFetched": _success(_ENTRY),
    "ChangeUndone": _success(_REOPENED, "TASK_INCOMPLETE"),
    "WeeklyStatsFetched": _success(_STATS),
    "DailyStatsFetched": _success(_DAYS),
    "Healthy": _success({"status": "healthy", "service": "task-management-backend"}),
    "Ready": _success({"status": "ready"}),
}
