# Two commands, each enough on a fresh clone:
#   make demo   the main job on real images, with a picture
#   make test   lint, types and the whole suite
# pip, not another installer: PYTHON and PIP_ARGS may be set, e.g. PIP_ARGS="--extra-index-url ..."

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_ARGS ?=

.PHONY: demo test lint bench clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt $(PIP_ARGS) --editable ".[plot,test,dev]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/python benchmarks/demo.py

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest

bench: $(VENV)/installed
	$(BIN)/python benchmarks/bench_digits.py

clean:
	rm -rf $(VENV) demo_output
