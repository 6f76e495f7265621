"""The rules of the contract in plain Python: what a change leaves, what the log says of it, and what undoes it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from tests.support.client import Json

FIELDS = ("title", "description", "is_completed", "completed_at", "created_at")
POPUPS = {
    "CREATED": "TASK_CREATED",
    "UPDATED": "TASK_UPDATED",
    "COMPLETED": "TASK_COMPLETED",
    "INCOMPLETED": "TASK_INCOMPLETE",
    "DELETED": "TASK_DELETED",
}
# What undoing an entry of each kind does.
OPPOSITES = {
    "CREATED": "DELETED",
    "UPDATED": "UPDATED",
    "COMPLETED": "INCOMPLETED",
    "INCOMPLETED": "COMPLETED",
    "DELETED": "CREATED",
}
# An entity tag that no task ever had.
STALE = '"2000-01-01T00:00:00.000000Z"'

Outcome = Literal["changed", "unchanged", "missing", "stale", "replayed"]


@dataclass
class Entry:
    """An entry of the history, as `GET /history/{history_id}` shows it."""

    history_id: str
    task_id: str
    action_type: str
    description: str
    timestamp: str
    task_title: str
    changes: Json
    undoes: str | None
    undone_by: str | None = None

    @property
    def item(self) -> dict[str, Any]:
        """This entry as `GET /history` shows it."""
        return {name: value for name, value in vars(self).items() if name not in ("changes", "undoes", "undone_by")}


@dataclass(frozen=True)
class Guard:
    """An If-Match header, the tags in it that may match a task (None: any task), and whether the present one does."""

    header: str | None
    tags: tuple[str, ...] | None
    matches: bool

    @classmethod
    def of(cls, kind: str | None, task: Json) -> "Guard":
        """Return the guard of that kind; without a `task`, no tag matches."""
        tag = STALE if task is None else f'"{task["updated_at"]}"'
        return {
            None: cls(None, None, True),
            "any": cls("*", None, True),
            "current": cls(tag, (tag,), True),
            "list": cls(f'{STALE}, W/"x" ,{tag}', (STALE, tag), True),
            "stale": cls(STALE, (STALE,), False),
            "weak": cls(f"W/{tag}", (), False),
        }[kind]


@dataclass
class Model:
    """The tasks as the API last showed them, and the history, oldest first."""

    tasks: dict[str, Json] = field(default_factory=dict)
    log: list[Entry] = field(default_factory=list)
    # By Idempotency-Key, and by everything else that a change must repeat to be the same: the entry.
    made: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def listed(self) -> list[Json]:
        """Return the tasks in the order of the list."""
        newest_first = sorted(self.tasks.values(), key=lambda task: str(task["created_at"]), reverse=True)
        return sorted(newest_first, key=lambda task: bool(task["is_completed"]))

    def outcome(self, task_id: str, made_before: bool, guard: Guard, fields: Json) -> Outcome:
        """Return how the API must answer a change that sets `fields`, or that deletes the task if they are None."""
        task = self.tasks.get(task_id)
        if made_before and (task is not None or fields is None):
            return "replayed"
        if task is None:
            return "missing"
        if not guard.matches:
            return "stale"
        return "unchanged" if fields is not None and fields.items() <= task.items() else "changed"

    def record(
        self, task_id: str, after: Json, description: str, history_id: str, timestamp: str, undoes: str | None = None
    ) -> None:
        """Note the change of a task to the state `after`, or to None."""
        before = self.tasks.pop(task_id, None)
        if after is not None:
            self.tasks[task_id] = after
        title = (after or before)["title"]
        action, changes = action_of(before, after), _changes(before, after)
        self.log.append(Entry(history_id, task_id, action, description, timestamp, title, changes, undoes))
        if undoes is not None:
            self.entry(undoes).undone_by = history_id

    def entry(self, history_id: str) -> Entry:
        """Return the entry of that id."""
        [found] = [entry for entry in self.log if entry.history_id == history_id]
        return found

    def last_moment_of(self, task_id: str) -> str:
        """Return the time of the last change of a task; one that never was has had none."""
        return max((entry.timestamp for entry in self.log if entry.task_id == task_id), default="")

    def can_undo(self, entry: Entry) -> bool:
        """Tell whether each field that the entry changed still has the value that the entry gave it."""
        task = self.tasks.get(entry.task_id)
        if entry.action_type == "DELETED" or task is None:
            return entry.action_type == "DELETED" and task is None
        return all(task[name] == change["after"] for name, change in entry.changes.items())

    def undone(self, entry: Entry) -> Json:
        """Return the fields of the task after the undo of an entry, or None."""
        if entry.action_type == "CREATED":
            return None
        before = {name: change["before"] for name, change in entry.changes.items()}
        return {"id": entry.task_id, **self.tasks.get(entry.task_id, {}), **before}

    def sentence_of_undo(self, entry: Entry) -> str:
        """Return the description of the entry that the undo of `entry` writes."""
        title = entry.task_title
        if entry.action_type == "UPDATED":
            return f"{edit_sentence(self.tasks[entry.task_id], self.undone(entry))} (undo)"
        return {
            "CREATED": f"Task deleted: '{title}' (undo)",
            "COMPLETED": "Task marked as incomplete (undo)",
            "INCOMPLETED": "Task marked as completed (undo)",
            "DELETED": f"Task restored: '{title}'",
        }[entry.action_type]


def holds_words(q: str, *texts: str | None) -> bool:
    """Tell whether each word of `q` is in one of the texts, regardless of case.

    PostgreSQL and Python agree on the case of ASCII letters; on others only as far as the database's locale knows them.
    """
    searched = "\n".join(text or "" for text in texts).lower()
    return all(word in searched for word in q.lower().split())


def edit_sentence(before: Json, after: Json) -> str:
    """Return the description of an edit."""
    changes = []
    if after["title"] != before["title"]:
        changes.append(f"Title changed from '{before['title']}' to '{after['title']}'")
    if after["description"] != before["description"]:
        changes.append("description changed" if changes else "Description changed")
    return "; ".join(changes)


def action_of(before: Json, after: Json) -> str:
    """Return the kind of the change from one state of a task to another; None stands for no task."""
    if before is None or after is None:
        return "CREATED" if before is None else "DELETED"
    if before["is_completed"] == after["is_completed"]:
        return "UPDATED"
    return "COMPLETED" if after["is_completed"] else "INCOMPLETED"


def _changes(before: Json, after: Json) -> Json:
    was, is_now = before or {}, after or {}
    names = [name for name in FIELDS if not (was and is_now and was[name] == is_now[name])]
    return {name: {"before": was.get(name), "after": is_now.get(name)} for name in names}
