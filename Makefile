# Myntverk's commands. Each sets up what it needs; `make help` lists them.
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check bench lock clean setup setup-dev

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check
UV = $(or $(wildcard $(VENV)/bin/uv),uv)
ARGS ?=

# The first that is new enough; plain `python3` comes first because that is what people expect to get.
PYTHONS := python3 python3.14 python3.13 python3.12 python3.11 python
PYTHON ?= $(shell for p in $(PYTHONS); do \
	$$p -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

PACKAGES := core connectors ledger settlement opcua_server config app migrations
SOURCES := $(wildcard $(PACKAGES) benchmarks examples tests scripts)
QUICK_TESTS = $(wildcard tests/unit tests/property tests/architecture)

# Standard output belongs to the program that runs; set-up talks on standard error.

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS='	' read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done
	@echo
	@echo '  ARGS="..." is passed on: make demo ARGS="--for 20s --json"'

demo: setup ## Run a small factory whose machines pay each other; Ctrl-C ends it
	@exec $(VENV)/bin/myntverk demo $(ARGS)

test: setup-dev ## Run every test
	@exec $(PY) -m pytest $(or $(ARGS),-n auto tests)

check: setup-dev ## Format, lint, types, import contracts, quick tests: a couple of minutes
	@$(VENV)/bin/ruff format --check $(SOURCES)
	@$(VENV)/bin/ruff check $(SOURCES)
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-logo
	@exec $(PY) -m pytest -n auto $(QUICK_TESTS)

bench: setup ## Measure, such as ARGS="pipeline --json"
	@exec $(PY) -m benchmarks $(ARGS)

lock: ## Write both lock files anew from pyproject.toml (needs uv)
	@$(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml --group build -o requirements.lock >&2
	@$(UV) pip compile -q --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
		--custom-compile-command "make lock" pyproject.toml --group dev -c requirements.lock -o requirements-dev.lock >&2

clean: ## Remove the environment and every cache; data/ stays
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup: $(VENV)/.base

setup-dev: $(VENV)/.dev

$(PY):
	@test -n "$(PYTHON)" || { \
		echo "Myntverk needs Python 3.11 or newer; found none of: $(PYTHONS)." >&2; \
		echo "Install one (Debian, Ubuntu: apt install python3 python3-venv) or name it: make PYTHON=/path/to/python" >&2; \
		exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)" >&2
	@rm -f $(VENV)/.base $(VENV)/.dev
	@$(PYTHON) -m venv $(VENV) >&2 || { rm -rf $(VENV); \
		echo "Could not make $(VENV). On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.base: requirements.lock pyproject.toml | $(PY)
	@echo "Installing what Myntverk needs, hash-checked: once, about half a minute" >&2
	@$(PIP) install -q --require-hashes -r requirements.lock >&2
	@$(PIP) install -q --no-deps --no-build-isolation --config-settings editable_mode=compat -e . >&2
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.base
	@echo "Installing the tools for tests and checks, hash-checked" >&2
	@$(PIP) install -q --require-hashes -r requirements-dev.lock >&2
	@touch $@
