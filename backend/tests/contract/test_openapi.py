"""The OpenAPI document, which Swagger UI shows at /docs."""

import json
import re
from typing import Any

import pytest
from pydantic import BaseModel

from config import BACKEND
from main import openapi_document
from src.models.task_history import ActionType
from src.schemas.envelope import Popup, Success
from src.schemas.samples import SAMPLES
from tests.support.client import Api
from tests.support.header_values import KEYS, MALFORMED_KEYS, MALFORMED_TAGS, MATCHING, NOT_MATCHING

FAILURES = {"401", "500", "503"}

# The id of each operation, its envelope and its status codes. A stream has no envelope.
OPERATIONS = {
    ("get", "/tasks"): ("list_tasks", "TasksListed", {"200", "400", *FAILURES}),
    ("post", "/tasks"): ("create_task", "TaskCreated", {"201", "400", "413", "415", "422", *FAILURES}),
    ("get", "/tasks/{task_id}"): ("get_task", "TaskFetched", {"200", "304", "400", "404", *FAILURES}),
    ("put", "/tasks/{task_id}"): ("update_task", "TaskUpdated", {"200", "400", "404", "412", "413", "415", *FAILURES}),
    ("delete", "/tasks/{task_id}"): ("delete_task", "TaskDeleted", {"200", "400", "404", "412", *FAILURES}),
    ("patch", "/tasks/{task_id}/complete"): ("complete_task", "TaskCompleted", {"200", "400", "404", "412", *FAILURES}),
    ("patch", "/tasks/{task_id}/incomplete"): (
        "reopen_task",
        "TaskIncomplete",
        {"200", "400", "404", "412", *FAILURES},
    ),
    ("get", "/history"): ("get_history", "HistoryFetched", {"200", "400", *FAILURES}),
    ("get", "/history/{history_id}"): ("get_history_entry", "EntryFetched", {"200", "400", "404", *FAILURES}),
    ("post", "/history/{history_id}/undo"): (
        "undo_history_entry",
        "ChangeUndone",
        {"200", "400", "404", "409", *FAILURES},
    ),
    ("get", "/events"): ("listen_to_events", None, {"200", *FAILURES}),
    ("get", "/stats/weekly"): ("get_weekly_stats", "WeeklyStatsFetched", {"200", "400", *FAILURES}),
    ("get", "/stats/daily"): ("get_daily_stats", "DailyStatsFetched", {"200", "400", *FAILURES}),
    ("get", "/health"): ("get_health", "Healthy", {"200", "500"}),
    ("get", "/health/ready"): ("get_readiness", "Ready", {"200", "500", "503"}),
}


# The headers that an operation takes, and those of its answers by their status.
CHANGES = ("update_task", "complete_task", "reopen_task", "delete_task")
TAKES = {
    "get_task": ("If-None-Match",),
    "create_task": ("Idempotency-Key",),
    "listen_to_events": ("Last-Event-ID",),
    **dict.fromkeys(CHANGES, ("If-Match", "Idempotency-Key")),
}
GIVES = {
    "get_task": {"200": {"ETag"}, "304": {"ETag"}},
    "create_task": {"201": {"History-ID", "Idempotency-Replayed"}},
    **{name: {"200": {"History-ID", "Idempotency-Replayed"}, "412": {"ETag"}} for name in CHANGES},
    "undo_history_entry": {"200": {"History-ID"}},
}
OWN_HEADERS = {"ETag", "History-ID", "Idempotency-Replayed"}


@pytest.fixture
def document(api: Api) -> Any:
    return api.get("/openapi.json").json()


def answers_with_a_body(operation: Any) -> list[tuple[str, Any]]:
    return [(code, response) for code, response in operation["responses"].items() if code != "304"]


def test_each_operation_is_listed_once(document: Any) -> None:
    listed = {(method, path) for path, operations in document["paths"].items() for method in operations}
    assert listed == set(OPERATIONS)


@pytest.mark.parametrize("key", OPERATIONS)
def test_an_operation_shows_its_envelope_and_its_failures(document: Any, key: tuple[str, str]) -> None:
    method, path = key
    operation_id, envelope, status_codes = OPERATIONS[key]
    operation = document["paths"][path][method]
    assert operation["operationId"] == operation_id
    assert set(operation["responses"]) == status_codes
    assert "content" not in operation["responses"].get("304", {})
    for status_code, response in answers_with_a_body(operation):
        if envelope is None and status_code == "200":
            assert list(response["content"]) == ["text/event-stream"]
            continue
        name = envelope if status_code.startswith("2") else "Failure"
        assert response["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}


def test_an_envelope_names_its_data_and_its_popup(document: Any) -> None:
    properties = document["components"]["schemas"]["TaskCreated"]["properties"]
    assert list(properties) == ["success", "data", "popup", "error"]
    assert properties["data"] == {"$ref": "#/components/schemas/TaskResponse"}
    assert properties["popup"]["const"] == "TASK_CREATED"


def test_422_is_only_for_a_key_of_another_task(document: Any) -> None:
    responses = document["paths"]["/tasks"]["post"]["responses"].pop("422")
    [example] = responses["content"]["application/json"]["examples"].values()
    assert example["value"]["error"] == "Idempotency-Key: was used for another task"
    assert "422" not in str(document)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_bounds_of_the_input_are_stated(document: Any) -> None:
    title = document["components"]["schemas"]["TaskCreate"]["properties"]["title"]
    assert (title["minLength"], title["maxLength"]) == (1, 255)
    parameters = {each["name"]: each["schema"] for each in document["paths"]["/history"]["get"]["parameters"]}
    assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"]) == (1, 100)


def test_an_optional_parameter_is_never_null(document: Any) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", []):
                assert "null" not in str(parameter["schema"])


@pytest.mark.parametrize("key", OPERATIONS)
def test_an_operation_shows_the_headers_that_it_takes_and_gives(document: Any, key: tuple[str, str]) -> None:
    method, path = key
    operation = document["paths"][path][method]
    name = operation["operationId"]
    taken = [each for each in operation.get("parameters", []) if each["in"] == "header"]
    assert tuple(each["name"] for each in taken) == TAKES.get(name, ())
    assert not any(each.get("required") for each in taken)
    given = {code: OWN_HEADERS & set(response["headers"]) for code, response in operation["responses"].items()}
    assert {code: names for code, names in given.items() if names} == GIVES.get(name, {})


TAGS = [value.replace("{}", '"2026-11-20T16:45:12.345678Z"') for [value, *_] in MATCHING + NOT_MATCHING]


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("If-Match", TAGS, [value for [value, *more] in MALFORMED_TAGS if not more]),
        ("If-None-Match", TAGS, [value for [value, *more] in MALFORMED_TAGS if not more]),
        ("Idempotency-Key", KEYS, [value for [value, *more] in MALFORMED_KEYS if not more and isinstance(value, str)]),
    ],
)
def test_the_pattern_of_a_header_accepts_what_the_service_accepts(
    document: Any, name: str, accepted: list[str], refused: list[str]
) -> None:
    """Other tests send all of these values to the service."""
    parameters = [
        parameter
        for operations in document["paths"].values()
        for operation in operations.values()
        for parameter in operation.get("parameters", [])
        if parameter["name"] == name
    ]
    [pattern] = {parameter["schema"]["pattern"] for parameter in parameters}
    assert [value for value in accepted if not re.search(pattern, value)] == []
    assert [value for value in refused if re.search(pattern, value)] == []


def test_popups_and_actions_are_enumerated(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Popup"]["enum"] == list(Popup)
    assert schemas["ActionType"]["enum"] == list(ActionType)


def test_every_answer_names_its_request(document: Any) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            for response in operation["responses"].values():
                assert "X-Request-ID" in response["headers"]
                assert response["description"] != "Successful Response"


def test_the_committed_document_is_the_one_that_is_served(document: Any) -> None:
    committed = (BACKEND / "openapi.json").read_text()
    assert committed == openapi_document() + "\n", "Run `make openapi`, and commit what it changes."
    assert json.loads(committed) == document
    assert document["openapi"].startswith("3.1.")


def test_every_envelope_has_all_four_keys(document: Any) -> None:
    envelopes = {envelope for _, envelope, _ in OPERATIONS.values() if envelope} | {"Failure"}
    for name in envelopes:
        assert document["components"]["schemas"][name]["required"] == ["success", "data", "popup", "error"]


def test_every_example_has_all_that_its_schema_requires(document: Any) -> None:
    schemas = document["components"]["schemas"]
    for name in ("TaskCreate", "TaskUpdate"):
        for example in schemas[name]["examples"]:
            assert set(schemas[name].get("required", [])) <= set(example) <= set(schemas[name]["properties"])


def test_every_success_has_an_example_exactly_as_on_the_wire(document: Any) -> None:
    envelopes = {each.__name__: each for each in all_subclasses(Success)}
    for (method, path), (_, name, _) in OPERATIONS.items():
        if name is None:
            continue
        responses = document["paths"][path][method]["responses"]
        [sample] = [
            response["content"]["application/json"]["example"]
            for status_code, response in responses.items()
            if status_code.startswith("2")
        ]
        # The schema of the example serialises it to the same bytes.
        written = envelopes[name].model_validate_json(json.dumps(sample)).model_dump_json()
        assert written == json.dumps(sample, separators=(",", ":"))


def test_the_example_tasks_are_consistent() -> None:
    created, completed = SAMPLES["TaskCreated"]["data"], SAMPLES["TaskCompleted"]["data"]
    assert not created["is_completed"]
    assert created["created_at"] == created["updated_at"]
    assert completed["completed_at"] == completed["updated_at"] > created["created_at"]
    assert SAMPLES["TaskIncomplete"]["data"]["completed_at"] is None


def all_subclasses(model: type[BaseModel]) -> list[type[BaseModel]]:
    return [each for child in model.__subclasses__() for each in (child, *all_subclasses(child))]


def test_every_failure_has_an_example_with_a_sentence(document: Any) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            for status_code, response in answers_with_a_body(operation):
                if not status_code.startswith("2"):
                    examples = [each["value"] for each in response["content"]["application/json"]["examples"].values()]
                    assert examples
                    assert all(list(example) == ["success", "data", "popup", "error"] for example in examples)
                    assert all(example["error"] for example in examples)


def test_times_have_the_format_date_time(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["TaskResponse"]["properties"]["created_at"]["format"] == "date-time"
    assert schemas["WeeklyStats"]["properties"]["week_end"]["format"] == "date-time"
