# `make` alone lists the targets.

PYTHON ?= python3

.DEFAULT_GOAL := help
.PHONY: help run demo backup restore test lint check format openapi statements picture fuzz torture test-scale bench bench-large bench-listeners

help:  ## List the targets.
	@grep -E '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 17

run: .venv/installed  ## Serve the API on http://127.0.0.1:8000, with an embedded PostgreSQL.
	@cd backend && exec ../.venv/bin/python main.py

demo: .venv/installed  ## Fill the running service with four weeks of tasks (needs `make run`).
	@cd backend && ../.venv/bin/python demo.py $(if $(AGAIN),--again)

backup: .venv/installed  ## Write the data to a new file here, or to FILE=…, while the service may go on working.
	@.venv/bin/python backend/backup.py backup $(if $(POSTGRES_BIN),--programs "$(POSTGRES_BIN)") $(if $(FILE),"$(FILE)")

restore: .venv/installed  ## Put FILE=…, a backup, into an empty database.
	@$(if $(FILE),,echo "Which backup? make restore FILE=task-backup-….dump" >&2; exit 2)
	@.venv/bin/python backend/backup.py restore "$(FILE)"

test: .venv/installed-test  ## Run the tests, on a throwaway PostgreSQL (or on TEST_DATABASE_URL).
	@cd backend && ../.venv/bin/python -m pytest tests/

lint: .venv/installed-dev  ## Check formatting, lint and types.
	@cd backend && ../.venv/bin/python -m ruff format --check .
	@cd backend && ../.venv/bin/python -m ruff check .
	@cd backend && ../.venv/bin/python -m mypy .

check: lint test  ## Lint and test, as CI does.

format: .venv/installed-dev  ## Format the code, and fix what the linter can fix.
	@cd backend && ../.venv/bin/python -m ruff format .
	@cd backend && ../.venv/bin/python -m ruff check --fix .

openapi: .venv/installed  ## Regenerate backend/openapi.json after a change to the API.
	@cd backend && ../.venv/bin/python main.py --openapi > openapi.json

statements: .venv/installed-test  ## Regenerate backend/statements.sql after a change to the SQL.
	@cd backend && ../.venv/bin/python statements.py > statements.sql

picture: .venv/installed-test  ## Take the README's picture of the page again (needs chromium).
	@cd backend && ../.venv/bin/python -m tests.browser.picture

fuzz: .venv/installed-test  ## Search for requests that break the API, until Ctrl-C (needs `make run`).
	@cd backend && ../.venv/bin/python -m schemathesis.cli run http://127.0.0.1:$${PORT:-8000}/openapi.json --continue-on-failure --max-examples 1000000

torture: .venv/installed-test  ## Inject faults into the service for some minutes, and report what broke.
	@cd backend && ../.venv/bin/python -m tests.drills.torture

test-scale: .venv/installed-test  ## Run the service on several machines, and kill some (Linux; needs haproxy and pgbouncer).
	@cd backend && ../.venv/bin/python -m tests.drills.scale

bench: .venv/installed-test  ## Compare with a textbook service, raw asyncpg and the floor (25 minutes; needs wrk).
	@cd backend && ../.venv/bin/python -m benchmarks

bench-large: .venv/installed-test  ## Compare a history of 10 million entries with one of 10 thousand (15 minutes; needs wrk).
	@cd backend && ../.venv/bin/python -m benchmarks --large

bench-listeners: .venv/installed-test  ## Measure 1,000 listeners of GET /events, and what they cost others (3 minutes; needs wrk).
	@cd backend && ../.venv/bin/python -m benchmarks --listeners

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or later is needed: make PYTHON=python3.11")'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "Debian and Ubuntu need: apt-get install python3-venv"; exit 1; }

# Each stage includes the one before it.
.venv/installed: backend/requirements.txt | .venv/bin/python
.venv/installed-test: backend/requirements-test.txt .venv/installed
.venv/installed-dev: backend/requirements-dev.txt .venv/installed-test

.venv/installed .venv/installed-test .venv/installed-dev:
	.venv/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@
