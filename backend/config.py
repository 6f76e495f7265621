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

# Names a file to read instead of `backend/.env`. Empty means unset.
ENV_FILE_VARIABLE = "ENV_FILE"

API_KEY_MIN_LENGTH = 16

# The entry of TRUSTED_HOSTS that allows every host.
ANY_HOST = "*"


class ConfigurationError(Exception):
    """The service cannot start as configured; the message is one sentence for its operator."""


class DatabasePool(StrEnum):
    """How connections are pooled between requests. `auto` keeps none on Neon, which has a pooler of its own."""

    AUTO = "auto"
    QUEUE = "queue"
    NULL = "null"


class LogFormat(StrEnum):
    """The format of log lines."""

    TEXT = "text"
    JSON = "json"


def parse_database_url(value: object) -> URL:
    """Return `value` as a URL that SQLAlchemy opens with psycopg2.

    Hosting services hand out `postgres://`, and SQLAlchemy 2.1 would open a bare `postgresql://`
    with psycopg 3. Raises `ValueError` without repeating the value, which may hold a password.
    """
    try:
        url = make_url(value)  # type: ignore[arg-type]  # Anything but a URL raises ArgumentError.
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
    """Return the hosts of a comma-separated list, in lower case. Raises `ValueError` for anything else."""
    hosts = tuple(host.lower() for host in parse_list(value))
    if not all(host == ANY_HOST or re.fullmatch(r"[a-z0-9._-]+|\[[0-9a-f:.]+\]", host) for host in hosts):
        raise ValueError("must be hosts such as tasks.example, comma-separated, without scheme and port, or *")
    return hosts


def parse_api_keys(value: object) -> tuple[SecretStr, ...]:
    """Return the keys of a comma-separated list. Raises `ValueError` for one that is easy to guess."""
    keys = parse_list(value)
    if any(len(key) < API_KEY_MIN_LENGTH or not key.isascii() or not key.isprintable() for key in keys):
        raise ValueError(f"must be keys of at least {API_KEY_MIN_LENGTH} printable ASCII characters, comma-separated")
    return tuple(map(SecretStr, keys))


def parse_origins(value: object) -> tuple[str, ...]:
    """Return the origins of a comma-separated list, written as browsers do: without a trailing slash.

    Raises `ValueError` for anything but `http(s)://host[:port]`, wildcards included.
    """
    origins = tuple(part.rstrip("/") for part in parse_list(value))
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https") or "*" in origin or f"{parts.scheme}://{parts.netloc}" != origin:
            raise ValueError("must be origins such as http://localhost:3000, comma-separated, without wildcards")
    return origins


class Settings(BaseSettings):
    """Every setting of the service. Each is read from the environment variable of the same name in capitals."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True,
        validate_default=False,
        extra="ignore",
        frozen=True,
        arbitrary_types_allowed=True,
    )

    # `--help` prints the descriptions, and `.env.example` repeats them word for word (a test compares them).
    database_url: Annotated[URL | None, NoDecode, BeforeValidator(parse_database_url)] = Field(
        None, description="The PostgreSQL database to use. Unset: the service runs an embedded PostgreSQL of its own."
    )
    database_read_url: Annotated[URL | None, NoDecode, BeforeValidator(parse_database_url)] = Field(
        None,
        description="A replica of that database, which may lag; the task list, the history and the stats come from it."
        " Unset: everything is read from DATABASE_URL.",
    )
    database_pool: DatabasePool = Field(
        DatabasePool.AUTO,
        description="How connections are pooled: queue keeps them open, null keeps none, auto is null on Neon and queue"
        " elsewhere.",
    )
    database_pool_size: int = Field(
        20,
        ge=1,
        le=1000,
        description="How many connections each process may open to each database URL. No more requests than that use"
        " the database at once.",
    )
    queue_timeout_s: float = Field(3.0, gt=0, le=60, description="How long a request waits for a free connection.")
    repeat_budget_s: float = Field(
        5.0, gt=0, le=60, description="How long a request waits for an unreachable database, over all its retries."
    )
    connect_timeout_s: int = Field(5, ge=2, le=60, description="How long the database may take to accept a connection.")
    network_timeout_s: int = Field(
        20,
        ge=2,
        le=3600,
        description="How long the network to the database may stay silent before a connection counts as dead.",
    )
    statement_timeout_s: float = Field(
        15.0, ge=0.001, le=3600, description="How long a statement may take, including its wait for locks."
    )
    start_timeout_s: float = Field(
        30.0,
        ge=0,
        le=3600,
        description="How long the start waits for an unreachable database, and a migration for tables in use.",
    )
    auto_migrate: bool = Field(
        default=True,
        description="Bring the schema up to date at start; false: refuse to start on an outdated schema.",
    )
    data_dir: Path | None = Field(
        None,
        description="The directory where the embedded PostgreSQL keeps its data. Unset: .data next to backend/, or a"
        " directory under /var/lib/task-management-backend if root runs the service.",
    )

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="The port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="How many server processes to run.")
    frontend_url: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_origins)] = Field(
        ("http://localhost:3000",), description="The origins whose pages may call the service (CORS), comma-separated."
    )
    max_body_bytes: int = Field(64 * 1024, ge=1024, description="The largest request body that the service accepts.")
    max_header_bytes: int = Field(
        32 * 1024,
        ge=1024,
        description="The largest header section of a request, path included, that the service accepts.",
    )
    header_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="How long a caller may take to send the headers of a request."
    )
    body_timeout_s: float = Field(30.0, gt=0, le=3600, description="How long a caller may pause while it sends a body.")
    write_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="How long a caller may pause before it reads more of its response."
    )
    idle_timeout_s: float = Field(
        75.0,
        ge=1,
        le=3600,
        description="How long an idle keep-alive connection stays open. Callers and load balancers should close theirs"
        " sooner (many do after 60 s): if a request arrives just as its connection closes, nobody knows whether it"
        " was served.",
    )
    max_connections: int = Field(
        2000,
        ge=1,
        description="How many client connections each process keeps. At the limit, a new connection replaces an idle"
        " one, so idle callers keep nobody out. The limit is lower if the process may not open that many files.",
    )
    max_list_bytes: int = Field(
        512 * 1024 * 1024,
        ge=1024 * 1024,
        description="How much memory and temporary disk space, together, each process may use for whole task lists"
        " that callers have not finished reading.",
    )
    export_timeout_s: float = Field(
        600.0,
        gt=0,
        le=86_400,
        description="How long a caller may take to read an export, which holds a database connection meanwhile.",
    )
    api_key: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(parse_api_keys)] = Field(
        (),
        description="The keys that callers may send as `Authorization: Bearer KEY`, comma-separated, each of at least"
        f" {API_KEY_MIN_LENGTH} characters; `openssl rand -hex 32` makes one. Unset: no key is needed.",
    )
    trusted_hosts: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_hosts)] = Field(
        (),
        description="The hosts that the service answers for, comma-separated; * allows any. Unset: on a loopback"
        " address this machine's own names, on any other address all. Set it behind a proxy on this machine.",
    )

    debug: bool = Field(default=False, description="Log every SQL statement, without its parameters.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = Field(
        "INFO", description="The lowest level that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL."
    )
    log_format: LogFormat = Field(LogFormat.TEXT, description="The format of log lines: text, for people, or json.")

    def require_database_url(self) -> URL:
        """Return the URL of the database. Raises `ConfigurationError` if none is set."""
        if self.database_url is None:
            raise ConfigurationError("DATABASE_URL is not set.")
        return self.database_url


def describe_settings() -> str:
    """Return the part of `--help` about the variables: the default of each, and its description."""
    paragraphs = []
    for name, field in Settings.model_fields.items():
        assert field.description is not None
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        default = str(default).lower() if isinstance(default, bool) else default or ""
        paragraphs.append(f"{name.upper()}={default}\n{indent(fill(field.description, 90), '    ')}")
    return "\n".join(paragraphs)


def load_settings() -> Settings:
    """Read the settings. Raises `ConfigurationError`, which names every invalid variable."""
    named = os.environ.get(ENV_FILE_VARIABLE)
    if named and not Path(named).exists():
        raise ConfigurationError(f"{ENV_FILE_VARIABLE} names {named}, which does not exist.")
    try:
        return Settings(_env_file=named or BACKEND / ".env")
    except ValidationError as error:
        # The message never repeats a value: DATABASE_URL may hold a password.
        problems = (
            f"{'_'.join(map(str, problem['loc'])).upper()}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_input=False)
        )
        raise ConfigurationError("; ".join(problems)) from None
