# Two commands for a fresh machine: `make run` tells a story, `make test` proves the rest.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test check format clean

# The light install: no torch, no compiler.
run: .venv/.light
	@$(BIN)/tinytales

# Everything the tests need (torch is pinned to its small CPU build), then the whole suite.
test: .venv/.full
	$(BIN)/python -m pytest -n 2 --dist loadgroup

# Format, lint and types.
check: .venv/.full
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.full
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "tinytales needs Python 3.11 or newer: make run PYTHON=python3.11" >&2; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.light: pyproject.toml | .venv/bin/python
	@echo "Setting up .venv (once) ..." >&2
	@$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -e .
	@touch $@

.venv/.full: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check -c constraints.txt \
		-e '.[train,export,grade,serve,web,dev]'
	@touch $@ .venv/.light

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
