# `make demo` and `make test` do all their own set-up in .venv, on a machine with Python 3.11+ and pip.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check

.PHONY: demo test slow lint bench docs docs-serve clean

demo: $(VENV)/.examples
	@$(BIN)/python examples/quickstart.py

# Two workers, a file each: tests compile on one thread, and share compiled functions within a file. In their order, as
# the files of the fewest tests would be the last, and some of these take longest.
test: lint
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder

slow: $(VENV)/.dev
	@$(BIN)/python -m pytest -q -m slow

lint: $(VENV)/.dev
	@$(BIN)/python -m ruff check --quiet .
	@$(BIN)/python -m ruff format --quiet --check .
	@$(BIN)/python -m mypy

bench: $(VENV)/.bench
	@$(BIN)/python -m benchmarks.throughput

# The notice of the theme's makers at each start is none of our readers'.
docs docs-serve: export NO_MKDOCS_2_WARNING = 1

docs: $(VENV)/.docs
	@$(BIN)/python -m mkdocs build --strict --quiet
	@echo "jaxhpt: open build/docs/index.html"

docs-serve: $(VENV)/.docs
	@$(BIN)/python -m mkdocs serve

clean:
	rm -rf $(VENV) build/docs

$(BIN)/python:
	@echo "jaxhpt: making $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)

# One stamp for each set of extras; made again when the project's requirements change.
$(VENV)/.%: pyproject.toml | $(BIN)/python
	@echo "jaxhpt: installing with [$*] ..."
	@$(PIP) --editable '.[$*]'
	@touch $@

.PRECIOUS: $(VENV)/.%
