"""The API against a model of its contract: Hypothesis calls both, and compares them after each step."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest
from fastapi import FastAPI
from sqlalchemy import URL

pytest.importorskip("hypothesis", reason="needs hypothesis: pip install -r requirements-test.txt")

from tests.support.model import hold_to_model


def test_the_api_behaves_as_its_model(
    live_app: tuple[FastAPI, str], clone: Callable[[], AbstractContextManager[URL]]
) -> None:
    hold_to_model(*live_app, clone, runs=15, steps=30)


def test_the_api_behaves_as_its_model_behind_pgbouncer(
    live_app: tuple[FastAPI, str], pooler_url: URL, clone: Callable[[], AbstractContextManager[URL]]
) -> None:
    """PgBouncer shares two connections among all requests, in transaction mode."""

    @contextmanager
    def pooled_clone() -> Iterator[URL]:
        with clone() as url:
            yield pooler_url.set(database=url.database)

    hold_to_model(*live_app, pooled_clone, runs=10, steps=30)
