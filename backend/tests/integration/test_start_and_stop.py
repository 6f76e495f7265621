"""`python main.py` and `uvicorn main:app`, as a person starts and stops them."""

import http.client
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from sqlalchemy import URL

from config import BACKEND
from main import main
from tests.support.client import Api
from tests.support.databases import environment_of
from tests.support.proxy import Proxy
from tests.support.service import MAIN, Service, free_port, running
from tests.support.waiting import wait_until


def fails(command: list[str], environment: dict[str, str]) -> str:
    """Run a service that refuses to start, and return the one line that it prints."""
    service = Service(command, BACKEND, **environment)
    assert service.wait() != 0
    assert len(service.output.strip().splitlines()) == 1, service.output
    return service.output.strip()


def test_the_start_prints_where_the_page_the_api_the_docs_and_the_data_are(data_dir: Path) -> None:
    with running(MAIN, DATA_DIR=str(data_dir)) as (service, api):
        address = f"http://127.0.0.1:{service.port}"
        service.wait_for("Data:  ")
        assert f"Page:  {address}/\nAPI:   {address}\n" in service.output
        assert f"Docs:  {address}/docs\n" in service.output
        api.create_task()
        # The printed psql command works as it stands.
        [(printed, psql)] = re.findall(r"^Data:  (.+) \(look inside: (.+)\)$", service.output, re.MULTILINE)
        command = [*shlex.split(psql), "-Atc", "SELECT title FROM tasks"]
        looked = subprocess.run(command, check=True, capture_output=True, text=True)
        # A second service on the same data is told who has it.
        second = fails(MAIN, {"DATA_DIR": str(data_dir)})
    assert (printed, looked.stdout) == (str(data_dir), "Buy groceries\n")
    assert f"in use by another run (process {service.process.pid})" in second


def test_help_and_openapi_need_no_database() -> None:
    for option, said in (("--help", "\nDATABASE_URL=\n"), ("--openapi", (BACKEND / "openapi.json").read_text())):
        service = Service([*MAIN, option], DATABASE_URL="nonsense")
        assert service.wait() == 0
        assert said in service.output


@pytest.mark.parametrize(("how", "workers"), [(signal.SIGTERM, "1"), (signal.SIGINT, "2")])
def test_a_stop_keeps_all_data_and_leaves_no_process(data_dir: Path, how: signal.Signals, workers: str) -> None:
    for tasks in (20, 40):
        with running(MAIN, DATA_DIR=str(data_dir), WORKERS=workers) as (service, api):
            service.wait_for("Application startup complete", times=int(workers))
            for _ in range(20):
                # A new connection for each task, so every worker gets some.
                with Api(str(api.base_url)) as another:
                    another.create_task()
            assert len(api.list_tasks()) == api.history()["pagination"]["total_count"] == tasks
            assert len(service.family()) > 1
            assert service.stop(how) == 0
        assert "Traceback" not in service.output


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_the_workers_start_is_no_failure(database_url: URL, how: signal.Signals) -> None:
    with Proxy(database_url).running() as url:
        service = Service(MAIN, DATABASE_URL=environment_of(url), WORKERS="2", START_TIMEOUT_S="3600")
        service.wait_for("Started parent process")
    # A worker may be faster.
    wait_until(lambda: re.search("Waiting for the database|Application startup complete", service.output))
    assert service.stop(how) == 0
    assert "Traceback" not in service.output


def test_a_connection_that_was_idle_for_six_seconds_still_works(database_url: URL) -> None:
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, _):
        connection = http.client.HTTPConnection("127.0.0.1", service.port)
        for pause_s in (0, 6):
            time.sleep(pause_s)
            # http.client must not reconnect silently if the first connection has ended.
            connection.auto_open = pause_s == 0
            connection.request("GET", "/tasks")
            assert connection.getresponse().read()
        connection.close()


def test_a_caller_who_hangs_up_within_a_body_leaves_no_traceback(database_url: URL) -> None:
    begun = b"POST /tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    with running(MAIN, DATABASE_URL=environment_of(database_url)) as (service, api):
        with socket.create_connection(("127.0.0.1", service.port)) as caller:
            caller.sendall(begun)
        service.wait_for(" POST /tasks ")
        assert api.list_tasks() == []
    assert "Traceback" not in service.output


@pytest.mark.parametrize("workers", ["1", "2"])
def test_acknowledged_changes_survive_a_kill(data_dir: Path, workers: str) -> None:
    with running(MAIN, DATA_DIR=str(data_dir), WORKERS=workers) as (service, api):
        tasks = [api.create_task(title=f"Task {number}") for number in range(20)]
        assert service.stop(signal.SIGKILL) != 0
    for directory in Path(tempfile.gettempdir()).glob(f"task-backend-metrics-{service.process.pid}-*"):
        shutil.rmtree(directory)
    with running(MAIN, DATA_DIR=str(data_dir)) as (_, api):
        assert api.list_tasks() == tasks[::-1]
        assert api.history()["pagination"]["total_count"] == 20


def test_a_port_in_use_is_refused_in_one_sentence(database_url: URL) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = fails(MAIN, {"DATABASE_URL": environment_of(database_url), "PORT": port})
    assert said == f"Port {port} of 127.0.0.1 is in use by another program; stop that one, or set PORT to a free one."


def test_settings_come_from_the_env_file_if_the_environment_has_none(tmp_path: Path, database_url: URL) -> None:
    backend = tmp_path / "a path with a space" / "backend"
    shutil.copytree(BACKEND, backend, ignore=shutil.ignore_patterns("tests", "__pycache__", ".*"))
    url = environment_of(database_url)
    (backend / ".env").write_text(f"DATABASE_URL={url}\nFRONTEND_URL=https://app.example\n")
    with running(MAIN, backend, ENV_FILE="") as (_, api):
        response = api.get("/tasks", headers={"Origin": "https://app.example"})
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"


def test_uvicorn_serves_with_several_workers_if_database_url_is_set(database_url: URL) -> None:
    url = environment_of(database_url)
    command = [sys.executable, "-m", "uvicorn", "main:app", "--workers", "2"]
    with running(command, DATABASE_URL=url) as (service, api):
        api.create_task()
        service.stop()


def test_uvicorn_with_several_workers_says_that_it_needs_database_url(data_dir: Path) -> None:
    service = Service([sys.executable, "-m", "uvicorn", "main:app", "--workers", "2"], DATA_DIR=str(data_dir))
    service.wait()
    assert "DATABASE_URL is not set, and several workers cannot each run the embedded PostgreSQL" in service.output
    assert service.output.count("DATABASE_URL is not set") <= 2
    assert "Traceback" not in service.output


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"DATABASE_URL": "nonsense"}, "DATABASE_URL: is not a URL such as"),
        ({"DATABASE_URL": "mysql://user:hunter2@localhost/tasks"}, "DATABASE_URL: must be a PostgreSQL URL such as"),
        (
            {"DATABASE_URL": "postgresql://user:hunter2@127.0.0.1:1/tasks", "START_TIMEOUT_S": "0"},
            "The database cannot be used: connection to",
        ),
        ({"DATABASE_URL": "postgresql://user:hunter2%00@127.0.0.1/tasks"}, "DATABASE_URL: must not contain NUL"),
        ({"DATABASE_URL": "postgresql://localhost/tasks?lake=1"}, "The database cannot be used: invalid dsn"),
        ({"DATABASE_URL": "postgresql://localhost:70000/tasks"}, "DATABASE_URL: must have a port from"),
        ({"TRUSTED_HOSTS": "http://tasks.example"}, "TRUSTED_HOSTS: must be hosts such as"),
        ({"PORT": "http"}, "PORT: "),
        ({"ENV_FILE": "/nowhere/.env"}, "ENV_FILE names /nowhere/.env, which does not exist."),
        ({"HOST": "198.51.100.1"}, "The service cannot listen on port"),
        ({"HOST": "no..host"}, "HOST: no..host is not the name of a host."),
        ({"DATABASE_READ_URL": "postgresql://replica/tasks"}, "DATABASE_READ_URL is set, and DATABASE_URL"),
        ({"FRONTEND_URL": "*"}, "FRONTEND_URL: must be origins such as"),
    ],
)
def test_a_wrong_configuration_is_refused_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], sentence: str
) -> None:
    monkeypatch.setattr(sys, "argv", MAIN[1:])
    for name, value in {"PORT": str(free_port()), **environment}.items():
        monkeypatch.setenv(name, value)
    handlers = {which: signal.getsignal(which) for which in (signal.SIGINT, signal.SIGTERM)}
    try:
        with pytest.raises(SystemExit) as raised:
            main()
    finally:
        for which, handler in handlers.items():
            signal.signal(which, handler)
    # Python prints a SystemExit of text, and exits with status 1.
    said = raised.value.code
    assert isinstance(said, str)
    assert said.startswith(sentence)
    assert "\n" not in said
    assert "hunter2" not in said


def test_the_log_warns_of_a_replica_that_cannot_be_used(database_url: URL) -> None:
    url = environment_of(database_url)
    with running(MAIN, DATABASE_URL=url, DATABASE_READ_URL="postgresql://127.0.0.1:1/tasks") as (service, api):
        service.wait_for("WARNING [-] The replica of DATABASE_READ_URL cannot be used: connection to")
        api.create_task()


def test_an_outdated_schema_is_refused_without_auto_migrate(data_dir: Path) -> None:
    said = fails(MAIN, {"DATA_DIR": str(data_dir), "AUTO_MIGRATE": "false"})
    assert said.startswith("The database schema is outdated and AUTO_MIGRATE is off; set it to true for one start")
