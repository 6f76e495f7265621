"""Settings, from environment variables or `backend/.env`; the environment wins."""

import os
import re
from enum import StrEnum
from pathlib import Path
from textwrap import fill, indent
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

BACKEND = Path(__file__).resolve().parent

# Names the file to read instead of `backend/.env`; empty and unset mean the same.
ENV_FILE_VARIABLE = "ENV_FILE"

API_KEY_MIN_LENGTH = 16

# In TRUSTED_HOSTS.
ANY_HOST = "*"


class ConfigurationError(Exception):
    """The service cannot start as configured; the message is one sentence for its operator."""


class DatabasePool(StrEnum):
    """How connections are kept between requests; `auto` keeps none on Neon, which pools itself."""

    AUTO = "auto"
    QUEUE = "queue"
    NULL = "null"


class LogFormat(StrEnum):
    """How lines are logged."""

    TEXT = "text"
    JSON = "json"


def parse_database_url(value: object) -> URL:
    """Return `value` as a URL that SQLAlchemy opens with psycopg2.

    Hosting services hand out `postgres://`, and SQLAlchemy 2.1 would open a bare `postgresql://`
    with psycopg 3. Raises `ValueError` without repeating the value, which may hold a password.
    """
    try:
        url = make_url(value)  # type: ignore[arg-type]  # It says so itself when it is no URL.
    except (ArgumentError, ValueError):
        raise ValueError("is not a URL such as postgresql://user:password@host:5432/database") from None
    if not 0 < (url.port or 5432) < 2**16:
        raise ValueError("must have a port from 1 to 65535")
    if any("\0" in str(part) for part in (*url[1:6], *url.query.values())):
        raise ValueError("must not contain NUL characters")
    if url.drivername not in ("postgres", "postgresql", "postgresql+psycopg2"):
        raise ValueError("must be a PostgreSQL URL such as postgresql://user:password@host:5432/database")
    return url.set(drivername="postgresql+psycopg2")


def parse_list(value: object) -> tuple[str, ...]:
    """Return the parts of a comma-separated list."""
    return tuple(part.strip() for part in str(value).split(",") if part.strip())


def parse_hosts(value: object) -> tuple[str, ...]:
    """Return the names of a comma-separated list of hosts, in lower case. Raises `ValueError` for what is none."""
    hosts = tuple(host.lower() for host in parse_list(value))
    if not all(host == ANY_HOST or re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host) for host in hosts):
        raise ValueError("must be hosts such as tasks.example, comma-separated, without scheme and port, or *")
    return hosts


def parse_api_keys(value: object) -> tuple[SecretStr, ...]:
    """Return the keys of a comma-separated list. Raises `ValueError` for one that is easily guessed."""
    keys = parse_list(value)
    if any(len(key) < API_KEY_MIN_LENGTH or not key.isascii() or not key.isprintable() for key in keys):
        raise ValueError(f"must be keys of at least {API_KEY_MIN_LENGTH} printable ASCII characters, comma-separated")
    return tuple(map(SecretStr, keys))


def parse_origins(value: object) -> tuple[str, ...]:
    """Return the origins of a comma-separated list, as browsers write them: no trailing slash.

    Raises `ValueError` for anything but `http(s)://host[:port]`, a wildcard included.
    """
    origins = tuple(part.rstrip("/") for part in parse_list(value))
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or "*" in origin or f"{parts.scheme}://{parts.netloc}" != origin:
            raise ValueError("must be origins such as http://localhost:3000, comma-separated, without wildcards")
    return origins


class Settings(BaseSettings):
    """Every setting of the service. Each is read from the variable of its name in capitals."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        validate_default=False,
        extra="ignore",
        frozen=True,
        arbitrary_types_allowed=True,
    )

    # The descriptions are those of `--help` and of `.env.example`.
    database_url: Annotated[URL | None, NoDecode, BeforeValidator(parse_database_url)] = Field(
        None, description="The PostgreSQL to use. Unset: the service runs an embedded one of its own."
    )
    database_read_url: Annotated[URL | None, NoDecode, BeforeValidator(parse_database_url)] = Field(
        None,
        description="A replica of that PostgreSQL, which may lag, for the list, the history and the stats."
        " Unset: they are read where everything is.",
    )
    database_pool: DatabasePool = Field(
        DatabasePool.AUTO,
        description="How connections are kept: queue, null (none), or auto, which is null on Neon and queue elsewhere.",
    )
    database_pool_size: int = Field(
        20,
        ge=1,
        le=1000,
        description="Connections kept, and requests that may use the database at once, in each process, for each URL.",
    )
    queue_timeout_s: float = Field(3.0, gt=0, le=60, description="How long a request waits for a free connection.")
    repeat_budget_s: float = Field(
        5.0, gt=0, le=60, description="How long a request waits for a database that is not there, in all."
    )
    connect_timeout_s: int = Field(5, ge=2, le=60, description="How long a connection may take to open.")
    network_timeout_s: int = Field(20, ge=2, le=3600, description="How long a silent network is waited for.")
    statement_timeout_s: float = Field(
        15.0, ge=0.001, le=3600, description="How long a statement, or its wait for a lock, may last."
    )
    start_timeout_s: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="How long the start waits for a database that is not there, a migration for what others use.",
    )
    auto_migrate: bool = Field(
        default=True,
        description="Bring the schema up to date at start; false: refuse to start on an outdated one.",
    )
    data_dir: Path | None = Field(
        None,
        description="Where the embedded PostgreSQL keeps its data. Unset: .data beside backend/, or for root a"
        " directory under /var/lib/task-management-backend.",
    )

    host: str = Field("127.0.0.1", description="The address where the service listens.")
    port: int = Field(8000, ge=1, le=65535, description="The port where the service listens.")
    workers: int = Field(1, ge=1, le=64, description="How many processes serve.")
    frontend_url: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_origins)] = Field(
        ("http://localhost:3000",), description="The origins whose pages may call the service, comma-separated."
    )
    max_body_bytes: int = Field(64 * 1024, ge=1024, description="The largest request body that is read.")
    max_header_bytes: int = Field(
        32 * 1024, ge=1024, description="The largest header section of a request that is read, with its path."
    )
    header_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="How long a caller may take to send the headers of a request."
    )
    body_timeout_s: float = Field(30.0, gt=0, le=3600, description="How long a body may stop in the middle.")
    write_timeout_s: float = Field(30.0, gt=0, le=3600, description="How long a caller may not read its answer.")
    idle_timeout_s: float = Field(
        75.0,
        ge=1,
        le=3600,
        description="How long an idle connection is kept. Callers and balancers should keep theirs for less (60 s at"
        " many): of a request that meets the end of its connection, nobody knows whether it was served.",
    )
    max_connections: int = Field(
        2000,
        ge=1,
        description="Connections of callers to each process. A new one takes the place of one that is idle, so this"
        " keeps nobody out; where the process may open fewer, it is less.",
    )
    max_list_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1024 * 1024,
        description="The space, in memory and temporary files, that each process has for whole lists of tasks until"
        " their callers have read them.",
    )
    api_key: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(parse_api_keys)] = Field(
        (),
        description="The keys that callers send as `Authorization: Bearer KEY`, comma-separated, each of at least"
        f" {API_KEY_MIN_LENGTH} characters, such as `openssl rand -hex 32` makes. Unset: nobody needs a key.",
    )
    trusted_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_hosts)] = Field(
        (),
        description="The hosts that the service answers for, comma-separated; * is any. Unset: on an address of"
        " loopback the names of this machine, elsewhere any. Behind a proxy on this machine, set it.",
    )

    debug: bool = Field(default=False, description="Log every SQL statement, without its parameters.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="The least severe lines that are logged: DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )
    log_format: LogFormat = Field(LogFormat.TEXT, description="How lines are logged: text, for people, or json.")

    def require_database_url(self) -> URL:
        """Return the URL of the database; raises `ConfigurationError` where none is set."""
        if self.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set.")
        return self.database_url


def describe_settings() -> str:
    """Return what `--help` says of each variable: its default, and what it is for."""
    paragraphs = []
    for name, field in Settings.model_fields.items():
        assert field.description is not None
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        default = str(default).lower() if isinstance(default, bool) else default or ""
        paragraphs.append(f"{name.upper()}={default}\n{indent(fill(field.description, 90), '    ')}")
    return "\n".join(paragraphs)


def load_settings() -> Settings:
    """Read the settings; raises `ConfigurationError` naming each variable that is wrong."""
    named = os.environ.get(ENV_FILE_VARIABLE)
    if named and not Path(named).exists():
        raise ConfigurationError(f"{ENV_FILE_VARIABLE} names {named}, which does not exist.")
    try:
        return Settings(_env_file=named or BACKEND / ".env")
    except ValidationError as error:
        # A message never repeats the value: DATABASE_URL may hold a password.
        problems = (
            f"{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False)
        )
        raise ConfigurationError("; ".join(problems)) from None
