# make demo    sets up, runs the demonstration, and ends with the path of the report to open
# make test    sets up, runs all tests: the quick ones first (under 2 minutes), then the slow ones (under 20 in all)
# make quick   only the quick tests
# make check   format, lint, types and all tests, as before every commit
# make bench   measures: see benchmarks/RESULTS.md
# make setup   only creates .venv and installs the exact versions of constraints.txt
# make clean   removes what these made
#
# PYTHON chooses the interpreter: make demo PYTHON=python3.12

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick check bench clean
.DELETE_ON_ERROR:

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first interpreter that runs, is new enough, and can make an environment.
FIND_PYTHON = for python in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	if "$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then echo "$$python"; exit; fi; done

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,/^PYTHON/p'

setup: $(STAMP)

# torch stands in one command with all the rest: asked for apart, another build of it may come, made for graphics cards.
$(STAMP): pyproject.toml constraints.txt
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "Fovea needs Python 3.11 or newer with its modules venv and ensurepip, and found none." >&2; \
		echo "  fix: install it (on Debian and Ubuntu also the package python3-venv), or name one: make PYTHON=/path/to/python" >&2; \
		exit 1; \
	fi; \
	echo "Setting up $(VENV) with $$("$$python" --version): about 2 GB, a minute or two."; \
	"$$python" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 -e '.[dev]'
	@touch $@

demo: $(STAMP)
	@$(BIN)/fovea demo --overwrite

test: quick
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow -n auto

# a process for each core, so one thread in each: more would wait for one another
quick: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(MAKE) test

bench: $(STAMP)
	$(BIN)/fovea bench-main

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests benchmarks examples -name __pycache__ -type d -prune -exec rm -rf {} +
