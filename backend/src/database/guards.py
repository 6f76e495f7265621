"""The guards: triggers that keep the history immutable and the counts exact, whoever writes.

A restore of data without its schema may leave them disabled, or as ordinary triggers, which
`session_replication_role = replica` disables.
"""

from collections.abc import Iterable

# The migrations say what each of them does.
GUARDS = {
    "check_entry": "task_history",
    "count_change": "tasks",
    "count_truncate": "tasks",
    "refuse_change": "task_history",
    "refuse_truncate": "task_history",
    "stamp_entry": "task_history",
}

_NEEDED = ", ".join(f"('{guard}', '{table}')" for guard, table in GUARDS.items())

# Returns the guards that are not always on, and those that are missing.
OFF_AND_MISSING = f"""
    SELECT coalesce(array_agg(guard ORDER BY guard) FILTER (WHERE tgenabled <> 'A'), '{{}}') AS switched_off,
        coalesce(array_agg(guard ORDER BY guard) FILTER (WHERE tgenabled IS NULL), '{{}}') AS missing
    FROM (VALUES {_NEEDED}) AS needed (guard, relation)
    LEFT JOIN pg_trigger ON tgrelid = to_regclass(relation) AND tgname = guard
"""  # noqa: S608  # The names are those above.


def what_fails(switched_off: Iterable[str], missing: Iterable[str]) -> str | None:
    """Return a sentence on the guards that fail and how to restore them, or None if all are on.

    A write that bypassed the triggers also bypassed the counts, so the remedy ends with a recount.
    """
    off, gone = ([f"{guard} on {GUARDS[guard]}" for guard in guards] for guards in (switched_off, missing))
    if gone:
        return f"Triggers are missing: {', '.join(gone)}; create them as backend/alembic/versions does."
    if not off:
        return None
    commands = "; ".join(f"ALTER TABLE {GUARDS[guard]} ENABLE ALWAYS TRIGGER {guard}" for guard in switched_off)
    return f"Triggers are not always on: {', '.join(off)}; as the owner, run: {commands}; SELECT recount();"
