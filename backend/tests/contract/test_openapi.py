"""The OpenAPI document, which Swagger UI shows at /docs."""

from typing import Any

import pytest

from tests.client import Api

OPERATIONS = {
    ("get", "/tasks"): ("TasksListed", {"200", "400", "503"}),
    ("post", "/tasks"): ("TaskCreated", {"201", "400", "413", "415", "503"}),
    ("get", "/tasks/{task_id}"): ("TaskFetched", {"200", "400", "404", "503"}),
    ("put", "/tasks/{task_id}"): ("TaskUpdated", {"200", "400", "404", "413", "415", "503"}),
    ("delete", "/tasks/{task_id}"): ("TaskDeleted", {"200", "400", "404", "503"}),
    ("patch", "/tasks/{task_id}/complete"): ("TaskCompleted", {"200", "400", "404", "503"}),
    ("patch", "/tasks/{task_id}/incomplete"): ("TaskIncomplete", {"200", "400", "404", "503"}),
    ("get", "/history"): ("HistoryFetched", {"200", "400", "503"}),
    ("get", "/stats/weekly"): ("WeeklyStatsFetched", {"200", "503"}),
    ("get", "/health"): ("Healthy", {"200"}),
    ("get", "/health/ready"): ("Ready", {"200", "503"}),
}


@pytest.fixture
def document(api: Api) -> Any:
    return api.get("/openapi.json").json()


def test_each_operation_is_listed_once(document: Any) -> None:
    listed = {(method, path) for path, operations in document["paths"].items() for method in operations}
    assert listed == set(OPERATIONS)


@pytest.mark.parametrize("key", OPERATIONS)
def test_an_operation_shows_its_envelope_and_its_failures(document: Any, key: tuple[str, str]) -> None:
    method, path = key
    envelope, status_codes = OPERATIONS[key]
    operation = document["paths"][path][method]
    assert set(operation["responses"]) == status_codes
    for status_code, response in operation["responses"].items():
        name = envelope if status_code.startswith("2") else "Failure"
        assert response["content"]["application/json"]["schema"] == {"$ref": f"#/components/schemas/{name}"}


def test_an_envelope_names_its_data_and_its_popup(document: Any) -> None:
    properties = document["components"]["schemas"]["TaskCreated"]["properties"]
    assert list(properties) == ["success", "data", "popup", "error"]
    assert properties["data"] == {"$ref": "#/components/schemas/TaskResponse"}
    assert properties["popup"]["const"] == "TASK_CREATED"


def test_no_operation_claims_to_answer_422(document: Any) -> None:
    assert "422" not in str(document)
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_the_bounds_of_the_input_are_stated(document: Any) -> None:
    title = document["components"]["schemas"]["TaskCreate"]["properties"]["title"]
    assert (title["minLength"], title["maxLength"]) == (1, 255)
    parameters = {each["name"]: each["schema"] for each in document["paths"]["/history"]["get"]["parameters"]}
    assert (parameters["limit"]["minimum"], parameters["limit"]["maximum"]) == (1, 100)


def test_swagger_ui_is_served(api: Api) -> None:
    response = api.get("/docs")
    assert response.status_code == 200
    assert "/openapi.json" in response.text


def test_every_envelope_has_all_four_keys(document: Any) -> None:
    envelopes = {envelope for envelope, _ in OPERATIONS.values()} | {"Failure"}
    for name in envelopes:
        assert document["components"]["schemas"][name]["required"] == ["success", "data", "popup", "error"]


def test_every_example_has_all_that_its_schema_requires(document: Any) -> None:
    schemas = document["components"]["schemas"]
    for name in ("TaskCreate", "TaskUpdate", "TaskResponse", "HistoryResponse", "Pagination", "WeeklyStats"):
        for example in schemas[name]["examples"]:
            assert set(schemas[name].get("required", [])) <= set(example) <= set(schemas[name]["properties"])


def test_every_failure_shows_a_sentence(document: Any) -> None:
    for operations in document["paths"].values():
        for operation in operations.values():
            for status_code, response in operation["responses"].items():
                if not status_code.startswith("2"):
                    [example] = response["content"]["application/json"]["examples"].values()
                    assert list(example["value"]) == ["success", "data", "popup", "error"]
                    assert example["value"]["error"]


def test_times_are_marked_as_such(document: Any) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["TaskResponse"]["properties"]["created_at"]["format"] == "date-time"
    assert schemas["WeeklyStats"]["properties"]["week_end"]["format"] == "date-time"
