"""The statements for the list of tasks: incomplete tasks first, then newest first, then by id."""

from typing import Any

from sqlalchemy import ColumnElement, TextClause, select, text

from src.database.json_rows import json_rows, wire_columns
from src.database.search_indexes import TASK_TEXT
from src.database.statement import (
    PLAN_FOR_ANY_PARAMETERS,
    PLAN_FOR_THESE_PARAMETERS,
    LongStatement,
    Statement,
)
from src.models import Task
from src.services.conditions import holds_words, if_given, word_parameters
from src.utils.cursors import TaskPosition

# The text below is made of constants, so no caller's input gets into it.
# ruff: noqa: S608

_tasks = Task.__table__.c

_LIMIT = "CAST(:limit AS integer)"
# The conditions on the tasks of a page. Each is one range of the index, which an OR would not be.
_INCOMPLETE, _COMPLETE = "NOT is_completed", "is_completed"
_ONE_KIND = "is_completed = CAST(:kind AS boolean)"
_AFTER_CURSOR = (
    "created_at <= CAST(:after_created_at AS timestamptz)"
    " AND (created_at < CAST(:after_created_at AS timestamptz) OR id > CAST(:after_id AS uuid))"
)
_CURSOR_IS_COMPLETED = "CAST(:after_is_completed AS boolean)"
_NO_CURSOR = f"{_CURSOR_IS_COMPLETED} IS NULL"
# The condition on the tasks of a search.
TASK_CONDITION = f"{holds_words(TASK_TEXT)} AND {if_given('is_completed', 'boolean', 'is_completed = {}')}"


def _list(
    name: str, purpose: str, *criteria: ColumnElement[bool] | TextClause, prefix: str = "", may_be_slow: bool = False
) -> LongStatement:
    tasks = select(Task.__table__).where(*criteria).order_by(_tasks.is_completed, _tasks.created_at.desc(), _tasks.id)
    return LongStatement(name, purpose, json_rows(tasks.subquery("task")), prefix=prefix, may_be_slow=may_be_slow)


def _page(
    name: str, purpose: str, *ranges: str, prefix: str = PLAN_FOR_ANY_PARAMETERS, may_be_slow: bool = False
) -> Statement:
    """Return the statement for a page of the tasks in `ranges` of the index.

    It returns one row: the first `limit` `tasks` as a JSON array, whether there are more (`has_next`),
    and the position of the last one.
    """
    # One more than asked for, to tell whether there are more.
    tasks = " UNION ALL ".join(
        f"(SELECT * FROM tasks WHERE {each} ORDER BY created_at DESC, id LIMIT {_LIMIT} + 1)" for each in ranges
    )
    statement = f"""
        WITH task AS (
            SELECT * FROM ({tasks}) found ORDER BY is_completed, created_at DESC, id LIMIT {_LIMIT} + 1
        ),
        item AS (SELECT {wire_columns(Task.__table__.c)} FROM task),
        page AS (
            SELECT
                count(*) > {_LIMIT} AS has_next,
                array_agg(CAST(row_to_json(item) AS text)) AS tasks,
                array_agg(is_completed) AS is_completed,
                array_agg(created_at) AS created_at,
                array_agg(id) AS id
            FROM item
        )
        SELECT
            has_next,
            concat('[', array_to_string(tasks[: {_LIMIT}], ','), ']') AS tasks,
            is_completed[{_LIMIT}] AS is_completed,
            created_at[{_LIMIT}] AS created_at,
            id[{_LIMIT}] AS id
        FROM page
    """
    return Statement(name, purpose, text(statement), prefix=prefix, may_be_slow=may_be_slow)


ALL_TASKS = _list("all_tasks", "Every task.")
INCOMPLETE_TASKS = _list("incomplete_tasks", "Every incomplete task.", ~_tasks.is_completed)
COMPLETE_TASKS = _list("complete_tasks", "Every complete task.", _tasks.is_completed)

FIRST_PAGE = _page("first_page_of_tasks", "The first page of the list.", _INCOMPLETE, _COMPLETE)
FIRST_PAGE_OF_KIND = _page(
    "first_page_of_tasks_of_kind", "The first page of the complete or the incomplete tasks.", _ONE_KIND
)
NEXT_PAGE = _page(
    "next_page_of_tasks",
    "The page of the list after an incomplete task.",
    f"{_INCOMPLETE} AND {_AFTER_CURSOR}",
    _COMPLETE,
)
NEXT_PAGE_OF_KIND = _page(
    "next_page_of_tasks_of_kind",
    "The page of the complete or the incomplete tasks after one of them.",
    f"{_ONE_KIND} AND {_AFTER_CURSOR}",
)

FOUND_TASKS = _list(
    "found_tasks",
    "Every task that a search finds.",
    text(TASK_CONDITION),
    prefix=PLAN_FOR_THESE_PARAMETERS,
    may_be_slow=True,
)
PAGE_OF_FOUND_TASKS = _page(
    "page_of_found_tasks",
    "A page of the tasks that a search finds.",
    f"{_INCOMPLETE} AND {TASK_CONDITION} AND ({_NO_CURSOR} OR NOT {_CURSOR_IS_COMPLETED} AND {_AFTER_CURSOR})",
    f"{_COMPLETE} AND {TASK_CONDITION} AND ({_NO_CURSOR} OR NOT {_CURSOR_IS_COMPLETED} OR {_AFTER_CURSOR})",
    prefix=PLAN_FOR_THESE_PARAMETERS,
    may_be_slow=True,
)


def found_parameters(is_completed: bool | None, query: str | None) -> dict[str, Any]:
    """Return the parameters of the condition `TASK_CONDITION`."""
    return {"is_completed": is_completed, **word_parameters(query)}


def page_of_tasks(after: TaskPosition | None, is_completed: bool | None, query: str | None) -> Statement | None:
    """Return the statement for the page `after` a position, of one kind or of all tasks; None if it is empty.

    Its parameters are `limit` and those of `page_parameters`.
    """
    if query is not None:
        return PAGE_OF_FOUND_TASKS
    if after is None:
        return FIRST_PAGE if is_completed is None else FIRST_PAGE_OF_KIND
    if is_completed is None:
        return NEXT_PAGE_OF_KIND if after.is_completed else NEXT_PAGE
    if after.is_completed is is_completed:
        return NEXT_PAGE_OF_KIND
    # Incomplete tasks come first, so none can follow a complete one.
    return FIRST_PAGE_OF_KIND if is_completed else None


def page_parameters(after: TaskPosition | None, is_completed: bool | None, query: str | None) -> dict[str, Any]:
    """Return the parameters of `page_of_tasks`; a statement takes those that it has."""
    after_is_completed, after_created_at, after_id = after or (None, None, None)
    return {
        **found_parameters(is_completed, query),
        "kind": after_is_completed if is_completed is None else is_completed,
        "after_is_completed": after_is_completed,
        "after_created_at": after_created_at,
        "after_id": after_id,
    }
