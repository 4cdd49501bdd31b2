# Two commands do everything on a fresh computer: `make lab` and `make test`.
# Each first sets up what it needs: an isolated Python in .venv, the dependencies, an engine, the images.

STUDENT ?= asmith15
PYTHON  ?= python3
VENV    := .venv
BIN     := $(VENV)/bin
PYTEST  := $(BIN)/pytest
CORES   := $(shell getconf _NPROCESSORS_ONLN)
# Tests on the engine wait a good part of their time for mail and boots, so twice as many run as there are processors.
JOBS    ?= $(shell expr 2 \* $(CORES))
E2E      = $(PYTEST) -n $(JOBS) --no-loadscope-reorder -rfERs --durations 20
QUICK   := $(patsubst %,tests/e2e/test_%.py,bad_input class client command_line messages reports stages trace)

# What Python compiles it may keep: to compile labenv and its tests again for each command takes longer than the command.
unexport PYTHONDONTWRITEBYTECODE
# They would lead the Python in .venv to another one's packages.
unexport PYTHONHOME PYTHONPATH

.PHONY: help lab test quick soak lint docs unit e2e bench down readme pictures requirements wheel dist clean
help:  ## show this
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

lab: $(VENV)/run  ## a working, verified mail lab (STUDENT=asmith15)
	@$(BIN)/labenv up $(STUDENT)

test: lint docs unit e2e  ## everything that CI runs: lint, types, unit and end-to-end tests

quick: lint unit $(VENV)/dev  ## in about 90 seconds: lint, types, unit tests and a first round on a real engine
	@$(E2E) $(QUICK)

soak: lint docs unit $(VENV)/dev  ## by hand: all end-to-end tests three times, and none may need a second try; first with what takes minutes
	@SOAK=1 $(E2E) tests/e2e
	@for round in 2 3; do $(E2E) tests/e2e || exit 1; done

lint: $(VENV)/dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy tools/docs
	@$(BIN)/mypy tools/pictures
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python tools/docs --check

docs: $(VENV)/dev  ## build the pages of docs/ as a site, in site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs --quiet build --strict

unit: $(VENV)/dev
	@$(PYTEST) tests/unit -n $(CORES)

# On a computer that is short of processor time, real services run into time limits. A test that failed runs once more after
# a moment, and is reported as RERUN; so once more, as such a time may last. A test that fails three times has failed.
e2e: $(VENV)/dev  ## run the tests on a real engine
	@$(E2E) tests/e2e --reruns 2 --reruns-delay 5

bench: $(VENV)/run  ## measure how fast labenv is on this machine
	@$(BIN)/labenv bench

down: $(VENV)/run  ## remove STUDENT's environment
	@$(BIN)/labenv down -s $(STUDENT)

# On a real engine, with a student of its own (t-docs15), which it removes again.
readme: $(VENV)/dev  ## make the outputs that README.md and docs/ show again, and the reference
	@$(BIN)/python tools/docs --lab

# Likewise; those of a class take some minutes more, and their students are those of tools/term.
pictures: $(VENV)/dev  ## make the pictures that README.md and docs/ show again
	@$(BIN)/python tools/pictures
	@$(BIN)/python tools/pictures --class

# One resolution for all versions of Python and all systems, and of it what the Python of labenv's own image needs. Pinned versions
# stay, except with: make requirements UPGRADE=-U
COMPILE = $(BIN)/uv pip compile -q $(UPGRADE) --python-version 3.11 --generate-hashes --no-emit-index-url \
    --custom-compile-command 'make requirements' pyproject.toml
FOR_ALL = --universal --group build
requirements: $(VENV)/dev  ## make requirements*.txt and images/python/requirements.txt from pyproject.toml
	@$(COMPILE) $(FOR_ALL) -o requirements.txt
	@$(COMPILE) $(FOR_ALL) --extra dev -c requirements.txt -o requirements-dev.txt
	@$(COMPILE) --python-platform linux --extra swarm -c requirements-dev.txt -o images/python/requirements.txt

wheel: $(VENV)/dev  ## build a wheel in dist/
	@$(BIN)/hatchling build -t wheel -d dist

dist: $(VENV)/dev  ## build what a release publishes in dist/: a wheel and the sources
	@$(BIN)/hatchling build -d dist

clean:  ## remove everything that make built here (environments stay: see `labenv down`)
	@rm -rf $(VENV) dist site .import_linter_cache .mypy_cache .ruff_cache .pytest_cache

# Scripts with the line ends of Windows do not start, and say no reason that a person would understand.
UNIX = ! grep -q "$$(printf '\r')" tools/venv || { echo "The files here have the line ends of Windows, so nothing in \
them would run. Clone labenv again with git, which keeps them right." >&2; exit 3; }

$(VENV)/run: pyproject.toml requirements.txt tools/venv
	@$(UNIX)
	@tools/venv "$(PYTHON)" $(VENV) requirements.txt
	@touch $@

$(VENV)/dev: pyproject.toml requirements-dev.txt tools/venv
	@$(UNIX)
	@tools/venv "$(PYTHON)" $(VENV) requirements-dev.txt
	@touch $@ $(VENV)/run
