# `make demo` and `make test` set everything up by themselves; Python 3.11 or newer is all it takes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: demo test lint regress bench speed wheel docs setup clean

demo: $(VENV)/.installed
	$(BIN)/benchbox demo

# A process per core with one thread each; a file stays in one process, which keeps its fixtures.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The demo grid beside its committed baseline: exit 1 if robustness fell beyond noise.
regress: $(VENV)/.installed
	$(BIN)/benchbox regress baselines/demo.json --out runs/demo --two-sided --markdown runs/regress.md

bench: $(VENV)/.installed-bench
	$(BIN)/python -m pytest tests/benchmarks -s --override-ini addopts= --benchmark-sort=name

# Times for `benchbox regress-speed`, in under a minute.
speed: $(VENV)/.installed-bench
	@mkdir -p runs
	$(BIN)/python -m pytest tests/benchmarks/test_quick_speed.py --override-ini addopts= --benchmark-json=runs/speed.json

# What `pip install` needs, grids, published tables and boards' protocols included: dist/*.whl.
wheel: $(VENV)/.installed-dev
	$(BIN)/python -m build --wheel --no-isolation --outdir dist .

# The documentation into site-docs/. In an environment of its own: what builds it and what the
# benchmarks compare with ask for different versions of requests. Sources are read, not imported.
# The variable hides a notice about that tool's successor.
docs: .venv-docs/.installed
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet

.venv-docs/.installed: docs/constraints.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/python -m pip install --quiet --constraint docs/constraints.txt mkdocs-material 'mkdocstrings[python]'
	@touch $@

setup: $(VENV)/.installed

# torch first: torchvision's wheel asks for it, and an unpinned torch may be gigabytes.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "benchbox needs Python 3.11 or newer; name one: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable '.[diffusion,plots]'
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(PIP) --editable '.[dev,diffusion,plots]'
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(PIP) --editable '.[dev,bench,diffusion,plots]'
	@touch $@

clean:
	rm -rf $(VENV) .venv-docs runs dist site-docs
