"""config.py: the settings, from the environment and the file .env."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from config import (
    BACKEND,
    ConfigurationError,
    DatabasePool,
    Settings,
    describe_settings,
    load_settings,
    parse_database_url,
    parse_origins,
)
from src.database.pool import keeps_connections
from tests.support.databases import settings_for


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    (tmp_path / ".env").touch()
    monkeypatch.setenv("ENV_FILE", str(tmp_path / ".env"))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_a_postgresql_url_selects_psycopg2(scheme: str) -> None:
    url = parse_database_url(f"{scheme}://user:p%40ss@host:5433/tasks?sslmode=require")
    assert (url.drivername, url.password, url.port) == ("postgresql+psycopg2", "p@ss", 5433)
    assert url.query["sslmode"] == "require"


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("nonsense-hunter2", "DATABASE_URL: is not a URL"),
        ("postgresql://user:hunter2@host:port/tasks", "DATABASE_URL: is not a URL"),
        ("mysql://user:hunter2@host/tasks", "DATABASE_URL: must be a PostgreSQL URL"),
        ("postgresql+asyncpg://user:hunter2@host/tasks", "DATABASE_URL: must be a PostgreSQL URL"),
        ("sqlite:///hunter2.db", "DATABASE_URL: must be a PostgreSQL URL"),
    ],
)
def test_another_url_is_refused_without_repeating_it(
    monkeypatch: pytest.MonkeyPatch, value: str, sentence: str
) -> None:
    monkeypatch.setenv("DATABASE_URL", value)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert str(raised.value).startswith(sentence)
    assert "hunter2" not in str(raised.value)


def test_the_defaults_are_those_of_the_contract() -> None:
    settings = load_settings()
    assert settings.database_url is None
    assert (settings.host, settings.port, settings.frontend_url) == ("127.0.0.1", 8000, ("http://localhost:3000",))
    assert (settings.auto_migrate, settings.database_pool) == (True, DatabasePool.AUTO)
    assert (settings.debug, settings.log_level, settings.statement_timeout_s) == (False, "INFO", 15)


def test_a_file_sets_what_the_environment_does_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=9001\nHOST=0.0.0.0\nDATABASE_URL=\n")
    monkeypatch.setenv("PORT", "9002")
    settings = load_settings()
    assert (settings.host, settings.port, settings.database_url) == ("0.0.0.0", 9002, None)  # noqa: S104


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PORT", "http"),
        ("PORT", "70000"),
        ("LOG_LEVEL", "loud"),
        ("AUTO_MIGRATE", "perhaps"),
        ("DATABASE_POOL", "lake"),
    ],
)
def test_a_wrong_value_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=f"^{variable}: "):
        load_settings()


def test_origins_are_normalised_to_the_form_of_browsers() -> None:
    assert parse_origins(" http://localhost:3000/, https://app.example ,") == (
        "http://localhost:3000",
        "https://app.example",
    )


@pytest.mark.parametrize(
    "value", ["*", "https://*.example", "localhost:3000", "ftp://example", "https://app.example/path"]
)
def test_other_origins_are_refused(value: str) -> None:
    with pytest.raises(ValueError, match="must be origins"):
        parse_origins(value)


@pytest.mark.parametrize(
    ("url", "pool", "kept"),
    [
        ("postgresql://host/tasks", "auto", True),
        ("postgresql://ep-cool-1.eu-central-1.aws.neon.tech/tasks", "auto", False),
        ("postgresql://ep-cool-1.eu-central-1.aws.neon.tech/tasks", "queue", True),
        ("postgresql://host/tasks", "null", False),
    ],
)
def test_the_service_keeps_no_connections_to_neon_unless_told_to(url: str, pool: str, kept: bool) -> None:
    assert keeps_connections(settings_for(make_url(url), database_pool=pool)) == kept


def test_the_example_file_says_what_the_settings_do(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: dict[str, str] = {}
    for paragraph in (BACKEND / ".env.example").read_text().split("\n\n")[1:]:
        *comments, assignment = [line.removeprefix("# ") for line in paragraph.splitlines()]
        name, _, value = assignment.partition("=")
        shown[name] = " ".join(comments)
        monkeypatch.setenv(name, value)
    assert shown == {name.upper(): field.description for name, field in Settings.model_fields.items()}
    # The example shows the default, unless the default is to be unset.
    settings = load_settings()
    for name, field in Settings.model_fields.items():
        assert getattr(settings, name) == field.default or "Unset: " in str(field.description), name


def test_help_says_what_the_settings_do() -> None:
    help_ = " ".join(describe_settings().split())
    for name, field in Settings.model_fields.items():
        assert f" {name.upper()}=" in f" {help_}"
        assert str(field.description) in help_
