# `make run` starts the gateway with its inbox; `make test` runs everything there is to check.
# uv is used when it is there, else python's own venv and pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
# What was asked for, for the remedy: the target that runs is often another.
ASKED := $(or $(MAKECMDGOALS),run)
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	|| { echo "Python 3.11 or newer is needed and \`$(PYTHON)\` is $$($(PYTHON) --version 2>/dev/null || echo not there). Name another: make $(ASKED) PYTHON=python3.12" >&2; exit 1; }
CHECK_VENV = $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	|| { echo "Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

.PHONY: run install test lint bench judges pictures lock clean

run: $(VENV)/.run
	@$(BIN)/gateway dev

install: $(VENV)/.run

$(VENV)/.run: requirements.lock pyproject.toml
	@$(CHECK_PYTHON)
ifdef UV
	@test -x $(BIN)/python || uv venv --quiet --python $(PYTHON) $(VENV)
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@$(CHECK_VENV)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing (a minute, once) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
ifdef UV
	uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.lock
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
endif
	@touch $@

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	$(BIN)/pytest -n auto --dist loadfile

bench: $(VENV)/.run
	$(BIN)/python bench/run.py $(BENCH)

# What the vendors' own packages say of signatures, beside what this gateway says.
judges: $(VENV)/.dev
	@$(PYTHON) -m venv .venv-judges
	.venv-judges/bin/python -m pip install --quiet --disable-pip-version-check -r tests/judges/packages.lock
	$(BIN)/python tests/judges/run.py .venv-judges/bin/python

# The console's pictures in docs/pictures; needs Chromium, and pngquant makes them small.
pictures: $(VENV)/.dev
	$(BIN)/python -m tests.browser.pictures

lock:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group build -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group build --group dev -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
		tests/judges/packages.in -o tests/judges/packages.lock

clean:
	rm -rf $(VENV) .venv-judges
