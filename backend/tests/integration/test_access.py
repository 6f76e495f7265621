"""Who may call, what the log tells, and what each database role may do."""

import re
from collections.abc import Callable, Iterator

import pytest
from psycopg2.errors import RestrictViolation
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from config import BACKEND
from main import create_app
from src.database.migrate import prepare_schema
from tests.support.client import Api, Json, data_of, error_of
from tests.support.databases import AS_REPLICA, Sql, environment_of, execute, settings_for
from tests.support.live_server import serve
from tests.support.load import MISCOUNTED
from tests.support.readme import readme_code
from tests.support.service import MAIN, Service, running

KEYS = ("first-key-of-the-test", "second-key-of-the-test")


@pytest.fixture
def guarded(database_url: URL) -> Iterator[Api]:
    """A service that asks for a key and answers for one host."""
    environment = {"API_KEY": ", ".join(KEYS), "TRUSTED_HOSTS": "tasks.example, 127.0.0.1"}
    with running(MAIN, BACKEND, DATABASE_URL=environment_of(database_url), **environment) as (_, api):
        yield api


def test_a_key_is_asked_for_and_each_key_is_accepted(guarded: Api) -> None:
    for path in ("/tasks", "/api/v1/tasks", "/history", "/stats/weekly", "/nope", "/metrics", "/docsx"):
        response = guarded.get(path, headers={"Origin": "http://localhost:3000"})
        assert "API key" in error_of(response, 401)
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    assert error_of(guarded.post("/tasks", content=b"nonsense"), 401)
    for key in KEYS:
        assert data_of(guarded.get("/tasks", headers={"Authorization": f"Bearer {key}"})) == []

    wrong = ("Bearer", "Bearer wrong", f"Basic {KEYS[0]}", KEYS[0], f"Bearer {KEYS[0]}x", "Bearer \xff")
    for authorization in wrong:
        response = guarded.get("/tasks", headers=[(b"Authorization", authorization.encode("latin-1"))])
        assert error_of(response, 401)

    for path in (
        "/health",
        "/health/ready",
        "/api/v1/health",
        "/docs",
        "/docs/assets/swagger-ui.css",
        "/redoc",
        "/openapi.json",
        "/",
    ):
        assert guarded.get(path).status_code in (200, 307), path

    document = guarded.get("/openapi.json").json()
    assert document["components"]["securitySchemes"]["apiKey"]["scheme"] == "bearer"
    assert document["paths"]["/tasks"]["post"]["security"] == [{"apiKey": []}]
    assert "401" in document["paths"]["/tasks"]["post"]["responses"]
    assert "security" not in document["paths"]["/health"]["get"]

    authorized = {"Authorization": f"Bearer {KEYS[0]}"}
    assert data_of(guarded.get("/health", headers={"Host": "10.0.0.7"}))
    for host in ("evil.example", "tasks.example.evil", ""):
        assert error_of(guarded.get("/tasks", headers={**authorized, "Host": host}), 400).startswith("Host: ")
    for host in ("tasks.example", "TASKS.example:8000"):
        assert data_of(guarded.get("/tasks", headers={**authorized, "Host": host})) == []


def test_a_page_whose_name_leads_to_this_machine_changes_nothing(api: Api) -> None:
    """What a browser sends for it, which takes the service for a part of that page's site (DNS rebinding)."""
    task = api.create_task()
    rebound = {"Host": "evil.example:8000", "Origin": "http://evil.example:8000"}
    for method, path in (("DELETE", f"/tasks/{task['id']}"), ("GET", "/tasks"), ("GET", "/"), ("GET", "/metrics")):
        error = error_of(api.request(method, path, headers=rebound), 400)
        assert error.startswith("Host: is not a host that this service answers for")
        assert "TRUSTED_HOSTS" in error
    assert api.list_tasks() == [task]
    assert data_of(api.get("/health", headers=rebound))


def test_the_log_says_how_another_host_is_answered_for(database_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    with serve(create_app(settings_for(database_url))) as (_, address), Api(address) as api:
        error_of(api.get("/tasks", headers={"Host": "tasks.example"}), 400)
    [warning] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "TRUSTED_HOSTS" in warning
    assert "tasks.example" not in warning


def test_any_host_is_answered_for_where_that_is_asked_for(database_url: URL) -> None:
    app = create_app(settings_for(database_url, trusted_hosts="tasks.example, *"))
    with serve(app) as (_, address), Api(address) as api:
        assert data_of(api.get("/tasks", headers={"Host": "other.example"})) == []


def test_listening_beyond_this_machine_without_a_key_is_warned_of(database_url: URL) -> None:
    for api_key in ("", KEYS[0]):
        environment = {"DATABASE_URL": environment_of(database_url), "HOST": "0.0.0.0", "API_KEY": api_key}  # noqa: S104
        with running(MAIN, BACKEND, **environment) as (service, _):
            # The warning comes before this.
            service.wait_for("Application startup complete")
            assert ("no API_KEY is set: anyone may call" in service.output) == (api_key == "")


def test_no_header_and_no_path_can_forge_a_line_of_the_log(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        api.get("/tasks/%0A2026-01-01%20INFO%20forged%1b[31m", headers={"User-Agent": "forged", "Referer": "forged"})
        api.get("/tasks", headers=[(b"X-Request-ID", b"forged line"), (b"Host", b"forged")])
        api.get("/health", headers={"X-Request-ID": "mine-1"})
    lines = service.output.splitlines()
    assert not [line for line in lines if re.match(r"2026-01-01", line) or "\x1b" in line]
    assert "forged" not in service.output.replace("%20forged%1B", "")
    [mine] = [line for line in lines if "[mine-1]" in line]
    assert "GET /health 200" in mine


def test_a_long_path_is_cut_between_two_characters_in_the_log(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        api.get("/" + "{é" * 3_000)
        api.get("/" + "x" * 199)
    assert f"GET /{'%7B%C3%A9' * 99}%7B… 404 " in service.output
    assert f"GET /{'x' * 199} 404 " in service.output


def test_no_log_and_no_answer_holds_the_password(server_url: URL, database_url: URL, sql: Sql) -> None:
    """A role whose password is known is used as well as it can be, and as badly."""
    password = "correct-horse-battery"  # noqa: S105
    sql(f"CREATE ROLE \"{database_url.database}\" SUPERUSER LOGIN PASSWORD '{password}'")
    url = database_url.set(username=database_url.database, password=password)
    said = ""
    with running(MAIN, DATABASE_URL=environment_of(url), DEBUG="true", LOG_LEVEL="DEBUG", REPEAT_BUDGET_S="0.5") as (
        service,
        api,
    ):
        answers = [api.get("/tasks"), api.post("/tasks", json={"title": "x"}), api.get("/health/ready")]
        sql("ALTER TABLE tasks RENAME TO elsewhere")
        answers += [api.get("/tasks"), api.post("/tasks", json={"title": "x"})]
        sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = current_database()")
        sql(f'ALTER ROLE "{database_url.database}" NOLOGIN')
        answers.append(api.get("/tasks"))
        said += "".join(answer.text + str(answer.headers) for answer in answers)
    said += service.output
    assert [answer.status_code for answer in answers] == [200, 201, 200, 503, 503, 503]
    assert "SELECT" in service.output
    assert password not in said
    failing = Service(MAIN, DATABASE_URL=environment_of(url.set(host="127.0.0.1", port=1)), START_TIMEOUT_S="0")
    failing.wait()
    assert password not in failing.output
    sql(f'DROP ROLE "{database_url.database}"')


BACKDATED = (
    "INSERT INTO task_history SELECT gen_random_uuid(), task_id, 'UPDATED', 'x', now() - interval '61 minutes'"
    " FROM task_history LIMIT 1"
)

# What each role may do to the history, and what stops it.
ATTEMPTS = {
    "UPDATE task_history SET description = 'x'": ("permission denied", "append-only"),
    "DELETE FROM task_history": ("permission denied", "append-only"),
    "TRUNCATE task_history": ("permission denied", "append-only"),
    "ALTER TABLE task_history DISABLE TRIGGER refuse_change": ("must be owner", None),
    "DROP TABLE task_history": ("must be owner", None),
    BACKDATED: ("more than an hour ago", "more than an hour ago"),
    "SET session_replication_role = replica": ("permission denied", "permission denied"),
}


def test_the_two_roles_of_the_readme_keep_the_history_from_the_service_itself(
    server_url: URL, empty_database: Callable[[], URL]
) -> None:
    """The owner migrates; the application's role reads and writes, and may not even try to change the history."""
    url = empty_database()
    name = str(url.database)
    owner, application = f"{name}_owner", f"{name}_app"
    as_owner, as_application = url.set(username=owner), url.set(username=application)
    set_up, grants = [
        block.replace("tasks_owner", owner)
        .replace("tasks_app", application)
        .replace("CREATE DATABASE tasks OWNER", f"ALTER DATABASE {name} OWNER TO")
        for block in readme_code("sql")
    ]
    execute(url, set_up)
    prepare_schema(settings_for(as_owner))
    execute(as_owner, grants)
    try:
        with running(MAIN, DATABASE_URL=environment_of(as_application), AUTO_MIGRATE="false") as (_, api):
            live_a_whole_life(api)
            assert data_of(api.get("/health/ready")) == {"status": "ready"}
        for statement, (refused_application, refused_owner) in ATTEMPTS.items():
            with pytest.raises(DBAPIError, match=refused_application):
                execute(as_application, statement)
            if refused_owner is not None:
                with pytest.raises(DBAPIError, match=refused_owner):
                    execute(as_owner, statement)
        assert len(execute(as_owner, "SELECT FROM task_history")) == 5
    finally:
        execute(server_url, f"DROP DATABASE {name} WITH (FORCE)")
        for role in (application, owner):
            execute(server_url, f"DROP ROLE {role}")


def live_a_whole_life(api: Api) -> None:
    task: Json = api.create_task()
    api.update_task(task["id"], title="Other")
    api.complete_task(task["id"])
    api.reopen_task(task["id"])
    api.list_tasks()
    api.stats()
    api.delete_task(task["id"])
    assert len(api.history_of(task["id"])) == 5


def test_a_backdated_entry_is_refused_to_a_superuser_too(api: Api, sql: Sql) -> None:
    api.create_task()
    before = api.history()

    with pytest.raises(DBAPIError, match="task_history takes no entry of more than an hour ago") as refused:
        sql(BACKDATED)

    assert isinstance(refused.value.orig, RestrictViolation)
    assert api.history() == before


def test_entries_of_the_last_hour_and_of_the_future_are_accepted(api: Api, sql: Sql) -> None:
    task = api.create_task()
    entry = (
        "INSERT INTO task_history VALUES (gen_random_uuid(), :task_id, 'UPDATED', 'x', now() + cast(:age AS interval))"
    )
    for age in ("-59 minutes", "1 year"):
        sql(entry, task_id=task["id"], age=age)
    api.delete_task(task["id"])
    sql(entry, task_id=task["id"], age="2 years")
    assert len(api.history_of(task["id"])) == 5
    assert sql(MISCOUNTED) == []


def test_whoever_restores_entries_as_a_replica_restores_any_and_they_are_counted(api: Api, sql: Sql) -> None:
    api.create_task()
    sql(AS_REPLICA + BACKDATED)
    assert api.history()["pagination"]["total_count"] == 2
    assert sql("SELECT FROM late_entries") != []
    assert sql(MISCOUNTED) == []
