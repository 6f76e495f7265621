# `make` alone lists the targets.

PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help run demo test lint check format openapi statements fuzz torture test-scale bench bench-large

help:  ## List the targets.
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

run: .venv/installed  ## Serve the API on http://127.0.0.1:8000, on an embedded PostgreSQL.
	@cd backend && exec ../.venv/bin/python main.py

demo: .venv/installed  ## Give the running service a month of tasks to show (needs `make run`).
	@cd backend && ../.venv/bin/python demo.py $(if $(AGAIN),--again)

test: .venv/installed  ## Run the tests, on a throwaway PostgreSQL (or TEST_DATABASE_URL's).
	@cd backend && ../.venv/bin/python -m pytest tests/

lint: .venv/installed-dev  ## Check the format, lint and check the types.
	@cd backend && ../.venv/bin/python -m ruff format --check .
	@cd backend && ../.venv/bin/python -m ruff check .
	@cd backend && ../.venv/bin/python -m mypy .

check: lint test  ## Check everything, as CI does.

format: .venv/installed-dev  ## Mend the format, and what else can be mended.
	@cd backend && ../.venv/bin/python -m ruff format .
	@cd backend && ../.venv/bin/python -m ruff check --fix .

openapi: .venv/installed  ## Write backend/openapi.json anew, after a change of the API.
	@cd backend && ../.venv/bin/python main.py --openapi > openapi.json

statements: .venv/installed-dev  ## Write backend/statements.sql, after a change of the SQL.
	@cd backend && ../.venv/bin/python statements.py > statements.sql

fuzz: .venv/installed  ## Search for requests that break the API, until Ctrl-C (needs `make run`).
	@cd backend && ../.venv/bin/python -m schemathesis.cli run http://127.0.0.1:$${PORT:-8000}/openapi.json --checks all --continue-on-failure --max-examples 1000000

torture: .venv/installed  ## Put the service under faults for some minutes, and print what they did.
	@cd backend && ../.venv/bin/python -m tests.drills.torture

test-scale: .venv/installed  ## Run it on several machines, and kill some (Linux; needs haproxy and pgbouncer).
	@cd backend && ../.venv/bin/python -m tests.drills.scale

bench: .venv/installed  ## Compare with a textbook service, raw asyncpg and the floor (25 minutes; needs wrk).
	@cd backend && ../.venv/bin/python -m benchmarks

bench-large: .venv/installed  ## Compare 10 million entries of history with 10 thousand (15 minutes; needs wrk).
	@cd backend && ../.venv/bin/python -m benchmarks --large

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Debian and Ubuntu need: apt-get install python3-venv"; exit 1; }

.venv/installed: backend/requirements.txt | .venv/bin/python
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

.venv/installed-dev: backend/requirements-dev.txt .venv/installed
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
