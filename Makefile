# Two commands, each enough on a fresh clone:
#   make demo   the main job on real images, with a picture
#   make test   lint, types and the whole suite
# and, besides: make test-all (every combination of choices), make docs check-docs (the site,
# looked at in a browser), make plots (pictures of the benchmarks), make fuzz, make bench, make gpu,
# make release (both distributions, each tried in an empty environment).
# pip, not another installer: PYTHON and PIP_ARGS may be set, e.g. PIP_ARGS="--extra-index-url ..."
# It compiles nothing: that takes a minute, and most modules of torch are never imported.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_ARGS ?=

OLDEST := .venv-oldest

.PHONY: demo test test-all test-oldest matrix locked lint docs check-docs plots fuzz bench gpu release clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt $(PIP_ARGS) torch
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt $(PIP_ARGS) --editable ".[plot,onnx,test,dev]"
	touch $@

demo: $(VENV)/installed
	$(BIN)/python -m benchmarks.demo

# The environment of the tests, from files of known hashes only; see tests/tools/lock.py.
locked: requirements-locked.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --no-deps $(PIP_ARGS) --requirement $<
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(VENV)/installed

lint: $(VENV)/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ruff format --check --line-length 80 README.md docs/*.md docs/jobs/*.md
	$(BIN)/mypy --num-workers auto
	$(BIN)/lint-imports --no-cache

# A process for each core, of one thread each: faster than threads on tests as small as these.
# Each gets neighbours, which share fixtures, until one of them has none left. Bytecode is written,
# whatever the environment says: tests start processes, and each would compile all of it again.
TEST := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest
TEST += --numprocesses auto --dist worksteal

test: lint
	$(TEST)

# The suite samples products of choices (tests/helpers/products.py); this runs all combinations.
test-all: lint
	$(TEST) -m ""

$(OLDEST)/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt $(PIP_ARGS) torch
	$(OLDEST)/bin/python -m pip install --quiet --constraint constraints-oldest.txt $(PIP_ARGS) --editable ".[plot,test]"
	touch $@

# The oldest versions supported; their own deprecations are not ours.
test-oldest: $(OLDEST)/installed
	$(OLDEST)/bin/python -m pytest --override-ini filterwarnings=ignore

matrix: test test-oldest

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --no-compile --constraint constraints.txt $(PIP_ARGS) --editable ".[docs]"
	touch $@

docs: $(VENV)/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

# Needs Chromium or Chrome, which is found by its name.
check-docs: $(VENV)/installed-docs
	$(BIN)/python docs/check_site.py

# The pictures of README and benchmarks, from the files under benchmarks/results.
plots: $(VENV)/installed
	$(BIN)/python -m benchmarks.plots

# 10,000 random inputs and 2,000 files of a random structure; the suite tries some hundreds.
fuzz: $(VENV)/installed
	$(BIN)/python tests/helpers/campaign.py --examples 10000
	$(BIN)/python tests/helpers/structural.py 2000

# Everything that is promised of GPUs, in under twelve minutes; needs SKDIM_DATA.
gpu: $(VENV)/installed
	$(BIN)/python -m benchmarks.gpu

bench: $(VENV)/installed
	$(BIN)/python -m benchmarks.accuracy.bench_digits

# Builds both distributions from a clean clone, checks them, and tries them in empty environments.
release:
	PIP_ARGS="$(PIP_ARGS)" $(PYTHON) tests/tools/release.py

clean:
	rm -rf $(VENV) $(OLDEST) demo_output docs/_build docs/auto_examples docs/generated
