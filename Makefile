# `make` alone explains the targets. Everything is installed into .venv, at the versions and hashes of the lock files.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH_INSTALLED := $(VENV)/.installed-bench
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet --quiet
UV ?= uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header --no-annotate $(UPGRADE)

.PHONY: help
help: ## Show this page
	@echo "Start with 'make run': it needs Python 3.11 or newer and nothing else."
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "Variables: PYTHON=python3.12 for a certain Python; ARGS=... for the command behind run, test or bench;"
	@echo "UPGRADE=--upgrade with 'make lock' takes newer versions. Example: make test ARGS='-x tests/core'"

.PHONY: install
install: $(INSTALLED) ## Make .venv with the locked dependencies and this project

.PHONY: run
run: $(INSTALLED) ## Run the whole service here, with a sandbox in place of Xumm and no broker
	@$(BIN)/processor dev $(ARGS)

.PHONY: test
test: servers $(INSTALLED) ## Run all tests; installs RabbitMQ and PostgreSQL on Debian if they are missing
	@$(BIN)/python -m pytest --numprocesses auto --maxprocesses 2 --dist worksteal $(ARGS)

.PHONY: servers
servers:
	@tests/servers/install.sh

.PHONY: lint
lint: $(INSTALLED) ## Check format, style, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: check
check: lint test ## All that must hold before a commit: lint, then test

.PHONY: format
format: $(INSTALLED) ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: docs
docs: $(INSTALLED) ## Write the generated tables of the READMEs anew from the code
	@$(BIN)/python -m tests.readmes

.PHONY: bench
bench: $(BENCH_INSTALLED) servers ## Measure against other ways to build it; takes minutes
	@$(BIN)/python -m tests.bench $(ARGS)

.PHONY: fuzz
fuzz: $(INSTALLED) ## Feed what strangers can send to what reads it, for an hour or ARGS="--minutes 5"
	@$(BIN)/python -m tests.fuzz $(ARGS)

.PHONY: lock
lock: ## Write the lock files anew from pyproject.toml (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: https://docs.astral.sh/uv/" >&2; exit 1; }
	$(COMPILE) pyproject.toml --all-extras --group dev -o requirements.lock
	$(COMPILE) pyproject.toml --all-extras --group dev --group bench -c requirements.lock -o tests/bench/requirements.lock
	$(COMPILE) pyproject.toml --extra postgres --extra fcm --extra apns --extra webpush --extra speed -c requirements.lock -o deploy/requirements.lock
	$(COMPILE) --group pyproject.toml:build -c requirements.lock -o deploy/build.lock
	$(COMPILE) tests/sdk/python/requirements.in -o tests/sdk/python/requirements.lock

.PHONY: clean
clean: ## Remove what can be made again; data in var/ stay
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	find tests -name node_modules -type d -prune -exec rm -rf {} +

# The first Python that is new enough and can make virtual environments.
$(BIN)/python:
	@for python in $(PYTHON) python3 python3.14 python3.13 python3.12 python3.11; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue; \
		if ! $$python -c 'import ensurepip, venv' 2>/dev/null; then unable="$$unable $$python"; continue; fi; \
		rm -rf $(VENV) && exec $$python -m venv $(VENV); \
	done; \
	if [ -n "$$unable" ]; then \
		echo "$${unable# } cannot make virtual environments: apt-get install python3-venv" >&2; \
	else \
		echo "Python 3.11 or newer is missing: apt-get install python3 python3-venv, or name one: make PYTHON=..." >&2; \
	fi; \
	exit 1

$(INSTALLED): pyproject.toml requirements.lock | $(BIN)/python
	@echo "Installing into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(BENCH_INSTALLED): tests/bench/requirements.lock $(INSTALLED)
	@$(PIP) install --require-hashes -r tests/bench/requirements.lock
	@touch $@
