# One command each. A fresh machine needs Python 3.11 (or later) and make; the first target used makes .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Installed before everything else, so that no other requirement chooses another PyTorch.
TORCH := torch==2.13.0

.DEFAULT_GOAL := help
.PHONY: help setup setup-dev demo test lint format docs bench clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' $(MAKEFILE_LIST)

setup: $(VENV)/.runtime  ## make .venv with gemmap and what it needs to run

setup-dev: $(VENV)/.dev  ## the same, with what the tests need

$(VENV)/.runtime: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet $(TORCH)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

demo: setup  ## simulate particles, reconstruct them, compare with the truth: demo/report.md, demo/run/report.html
	$(BIN)/gemmap demo -o demo --overwrite
	@echo
	@cat demo/report.md
	@echo
	@echo "Open in a browser: $(CURDIR)/demo/run/report.html"

lint: setup-dev  ## style, types and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup-dev  ## write the style that lint asks for
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Two processes with one thread each are faster than one with two: most tests are small.
test: lint  ## lint, and every test that needs no other program
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

docs: setup-dev  ## check the links of the documentation and run its commands
	$(BIN)/pytest --slow tests/test_docs.py tests/test_docs_empiar.py

bench: setup-dev  ## what a full benchmark needs, and a small one: rate, time, memory, resolution
	@sed -n '/^## Rerun/,/^## The sets/p' benchmarks/README.md | sed '$$d'
	@echo "A small one, with what comes with gemmap:"
	$(BIN)/gemmap demo -o runs/bench --overwrite --quiet --n-particles 1000

clean:  ## remove .venv, caches and the demonstration
	rm -rf $(VENV) demo runs/bench build .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf src/*.egg-info
