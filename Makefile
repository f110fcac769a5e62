# Every target sets up what it needs in .venv and skips what is done.
#   make quickstart                 a distilled, exported network, in minutes
#   make test ARGS="-k recorder"    options go to pytest
#   make PYTHON=python3.12 install  another Python for .venv

PYTHON ?= python3
ARGS ?=
# One more than cores: many tests wait for processes that they start.
WORKERS ?= $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1)))
PY := .venv/bin/python
SETUP := $(PYTHON) requirements/setup_env.py

.DEFAULT_GOAL := help
.PHONY: help install install-fast install-docs quickstart test test-slow check docs clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

install:  ## everything, mmcv's compiled operators included (about 12 minutes on two cores)
	@$(SETUP) full

install-fast:  ## what the quickstart needs (one to two minutes)
	@$(SETUP) fast

install-docs:
	@$(SETUP) docs

quickstart: install-fast  ## train, distil and export a small network on real data
	$(PY) tools/quickstart.py $(ARGS)

test: install  ## the quick tests, on CPU
	$(PY) -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder --durations=30 $(ARGS)

test-slow: install  ## the tests that take longer than ten seconds
	$(PY) -m pytest -m "slow and not gpu" --timeout=1800 $(ARGS)

check: install  ## style, types, doctests and the import table
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m pytest -q --doctest-modules mmrazor tests/test_import_table.py

docs: install-docs  ## the documentation, into build/docs
	$(PY) -m sphinx -W --keep-going -b html docs/en build/docs

clean:  ## remove .venv and everything that was built
	rm -rf .venv build dist mmrazor.egg-info mmrazor/.mim
