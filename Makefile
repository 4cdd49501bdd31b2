# Two commands do everything on a fresh machine: `make lab` and `make test`.
# Each sets up what it needs first: an isolated Python in .venv, the dependencies, an engine, the images.

STUDENT ?= asmith15
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
PYTEST  := $(BIN)/pytest

.PHONY: help lab test lint unit e2e bench down wheel clean
help:  ## show this
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

lab: $(VENV)/run  ## a working, verified mail lab (STUDENT=asmith15)
	@$(BIN)/labenv up $(STUDENT)

test: lint unit e2e  ## everything that CI asserts: lint, types, unit and end-to-end tests

lint: $(VENV)/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

unit: $(VENV)/dev
	@$(PYTEST) tests/unit

# Real services run into a time limit where a computer is starved of processor time. A test that failed is run once more
# after a moment, and named as RERUN; one that fails twice has failed.
e2e: $(VENV)/dev  ## the tests on a real engine
	@$(PYTEST) tests/e2e --reruns 1 --reruns-delay 3 -rfERs --durations 30

bench: $(VENV)/run  ## how fast labenv is on this machine
	@$(BIN)/labenv bench

down: $(VENV)/run  ## remove STUDENT's environment
	@$(BIN)/labenv down -s $(STUDENT)

wheel: $(VENV)/dev  ## a wheel in dist/
	@$(BIN)/pip -q wheel --no-deps -w dist .

clean:  ## remove what make made here (environments stay: see `labenv down`)
	@rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache

$(VENV)/run: pyproject.toml tools/venv
	@tools/venv $(PYTHON) $(VENV) .
	@touch $@

$(VENV)/dev: pyproject.toml tools/venv
	@tools/venv $(PYTHON) $(VENV) '.[dev]'
	@touch $@ $(VENV)/run
