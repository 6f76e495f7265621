"""The triggers that keep the history unchangeable and the counts exact, whoever writes.

What restores data without its schema may leave them off, or as ordinary triggers, which
`session_replication_role = replica` turns off.
"""

from collections.abc import Iterable

# What each does, the migrations say.
GUARDS = {
    "check_entry": "task_history",
    "count_change": "tasks",
    "count_truncate": "tasks",
    "refuse_change": "task_history",
    "refuse_truncate": "task_history",
}

_NEEDED = ", ".join(f"('{guard}', '{table}')" for guard, table in GUARDS.items())

# Arrays of those that are off, or not always on, and of those that are missing.
OFF_AND_MISSING = f"""
    SELECT coalesce(array_agg(guard ORDER BY guard) FILTER (WHERE tgenabled <> 'A'), '{{}}') AS switched_off,
        coalesce(array_agg(guard ORDER BY guard) FILTER (WHERE tgenabled IS NULL), '{{}}') AS missing
    FROM (VALUES {_NEEDED}) AS needed (guard, relation)
    LEFT JOIN pg_trigger ON tgrelid = to_regclass(relation) AND tgname = guard
"""  # noqa: S608  # The names are those above.


def what_fails(switched_off: Iterable[str], missing: Iterable[str]) -> str | None:
    """Return a sentence on the guards that fail, and how to bring them back; None where all are on.

    What got around the triggers got around the counts, so these are counted anew.
    """
    off, gone = ([f"{guard} on {GUARDS[guard]}" for guard in guards] for guards in (switched_off, missing))
    if gone:
        return f"Triggers are missing: {', '.join(gone)}; create them as backend/alembic/versions does."
    if not off:
        return None
    commands = "; ".join(f"ALTER TABLE {GUARDS[guard]} ENABLE ALWAYS TRIGGER {guard}" for guard in switched_off)
    return f"Triggers are not always on: {', '.join(off)}; as the owner, run: {commands}; SELECT recount();"
