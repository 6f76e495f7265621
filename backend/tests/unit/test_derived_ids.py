"""Ids that are derived from a key, or from the entry that is undone."""

from uuid import RFC_4122, UUID

import pytest

from src.utils.derived_ids import id_of_entry, id_of_task, id_of_undo

TASK = UUID("79f595c0-e210-473d-9aa2-40950ea36da8")
OTHER_TASK = UUID("0b7e1f0a-6f0e-4c2b-9d0e-2f6a5f1c9a11")


@pytest.mark.parametrize(
    ("derived", "known"),
    [
        (id_of_task("8e03978e-40d5-43e8-bc93-6894a57f9324"), "79f595c0-e210-473d-9aa2-40950ea36da8"),
        (id_of_task("a"), "48060de3-1d92-4b57-965f-c10d9d6574e6"),
        (id_of_task('"'), "533b8712-2769-4c59-a251-9bb78264b0b2"),
        (id_of_task("x" * 255), "0770c0dd-38cf-49d9-b17f-aef905a6d4e1"),
        (
            id_of_entry("8e03978e-40d5-43e8-bc93-6894a57f9324", "CREATED", TASK),
            "4df3835a-366f-437e-87c7-1de0b20ace49",
        ),
        (id_of_entry("a", "UPDATED", TASK, "T", None), "d9cdd71b-612f-4ddd-9935-f7816c23e1f1"),
        (id_of_entry("a", "UPDATED", TASK, None, "T"), "04711d65-6eaa-41a1-9e27-5d697d4ee989"),
        (id_of_entry("a", "DELETED", TASK), "bc1ddbdf-6dd0-465b-8f1d-6527259d4f6b"),
        (id_of_undo(TASK), "db738225-3eab-4248-b4be-cf5bbf42637f"),
        (id_of_undo(id_of_undo(TASK)), "5a98b248-0146-4fb3-94d4-1fd722b3e430"),
    ],
)
def test_an_id_never_changes(derived: UUID, known: str) -> None:
    """Otherwise a key would create its task again, and an entry could be undone again, after an update."""
    assert str(derived) == known


def test_a_derived_id_is_a_uuid_of_version_4() -> None:
    for number in range(200):
        task_id = id_of_task(str(number))
        for each in (task_id, id_of_entry(str(number), "CREATED", task_id), id_of_undo(task_id)):
            assert (each.version, each.variant) == (4, RFC_4122)


def test_everything_that_differs_makes_another_id() -> None:
    entries = [
        id_of_entry(key, action, task_id, *content)
        for key in ("a", "b", "A")
        for action in ("UPDATED", "DELETED")
        for task_id in (TASK, OTHER_TASK)
        for content in ((), (None,), ("",), ("x",), ("x", None), (None, "x"), ("x", ""), ('x", "',), ("é",))
    ]
    others = [id_of_task(key) for key in ("a", "b", "A", str(TASK))] + [id_of_undo(TASK), id_of_undo(OTHER_TASK)]
    assert len({*entries, *others}) == len(entries) + len(others)


def test_without_a_key_every_id_is_another() -> None:
    ids = {id_of_task(None) for _ in range(100)} | {id_of_entry(None, "CREATED", TASK) for _ in range(100)}
    assert len(ids) == 200
    assert {each.version for each in ids} == {4}
