# Targets for people and CI; `make` alone lists them.
PYTHON ?= python3
VENV := .venv
unexport PYTHONDONTWRITEBYTECODE  # pytest keeps the tests as it rewrites them, which takes it 7 s
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help

PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup -q -rs

.PHONY: help install demo quick test check lint format type bench bench-tune gpu

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | awk -F'\t' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(STAMP)  ## make .venv and install everything, development tools included

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet torch==2.13.0 --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --editable '.[dev]' --constraint constraints.txt
	touch $@

demo: $(STAMP)  ## train the small demo voice: some minutes on a CPU
	$(BIN)/python smart_tuner_main.py --mode train --trials 1

quick: $(STAMP)  ## run the tests that take no time
	$(PYTEST) -m "not slow"

test: $(STAMP)  ## run all tests
	$(PYTEST)

lint: $(STAMP)  ## check format and style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

type: $(STAMP)  ## check types
	$(BIN)/mypy

check: lint type test  ## everything CI runs

format: $(STAMP)  ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## measure what docs/benchmarks.md quotes: under 20 minutes, leave the machine alone
	$(BIN)/python -m benchmarks.step
	$(BIN)/python -m benchmarks.speed

bench-tune: $(STAMP)  ## ours against plain Optuna and random search: about 40 minutes, leave the machine alone
	$(BIN)/python -m benchmarks.tune

# needs torch, triton, numpy and pyyaml of $(PYTHON), and no .venv; runs the tests marked gpu itself, with pytest or without
gpu:  ## test and measure what needs an NVIDIA GPU: eight minutes at most
	timeout 480 $(PYTHON) -m benchmarks.gpu
