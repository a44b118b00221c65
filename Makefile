# Set up, run, check and measure the project. `make help` lists the targets.
# Uses uv where it is installed, else Python's own venv and pip.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Processes that run tests at the same time; one more than there are processors does no harm, since some tests wait.
WORKERS ?= auto
UV := $(shell command -v uv 2>/dev/null)
# The target that was typed, for the message below: the one that fails is often a prerequisite.
ASKED := $(or $(MAKECMDGOALS),run)
CHECK_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 \
	|| { echo "Python 3.11 or newer is needed, but \`$(PYTHON)\` is $$($(PYTHON) --version 2>/dev/null || echo missing). Choose another: make $(ASKED) PYTHON=python3.12" >&2; exit 1; }
CHECK_VENV = $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null \
	|| { echo "Python's venv module is missing. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

.PHONY: help run install lint fix test cover audit docs corpus corpora bench judges pictures lock clean

ifeq ($(STORE),postgres)
run: $(VENV)/.dev
	@$(BIN)/python -m tests.postgres $(BIN)/gateway dev
else
run: $(VENV)/.run ## Start the gateway with a demo secret and an inbox (the default target); STORE=postgres: on a throw-away PostgreSQL
	@$(BIN)/gateway dev
endif

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name about; do printf 'make %-9s %s\n' "$$name" "$$about"; done

install: $(VENV)/.run ## Install into .venv what running needs

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

lint: $(VENV)/.dev ## Check style, formatting, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.dev ## Fix style and formatting where ruff can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: lint ## Lint, and run every test
ifdef COVER
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n $(WORKERS) --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
else
	$(BIN)/pytest -n $(WORKERS) --dist loadfile
endif

cover: ## As `test`, with branch coverage; fails below the floor in pyproject.toml
	@$(MAKE) --no-print-directory test COVER=1

audit: $(VENV)/.dev ## Ask whether a locked package has a known vulnerability (needs the internet)
	@$(BIN)/python -m tests.audit

docs: $(VENV)/.dev ## Regenerate docs/reference and routes.schema.json; check every page's links, examples and commands
	$(BIN)/python docs/generate.py
	$(BIN)/pytest -q tests/test_docs.py

corpus: $(VENV)/.dev ## Write again what `gateway check` says of each file in tests/config
	$(BIN)/python -m tests.config.corpus

corpora: $(VENV)/.dev ## Count how many of the examples in public packages are accepted, named, rendered and forwarded unchanged (needs npm and the internet)
	$(BIN)/python -m tests.presets.corpora

bench: $(VENV)/.run ## Measure throughput, latency, CPU and memory (options: BENCH="...")
	$(BIN)/python bench/run.py $(BENCH)

judges: $(VENV)/.dev ## Compare signature checks with the vendors' own packages
	@$(PYTHON) -m venv .venv-judges
	.venv-judges/bin/python -m pip install --quiet --disable-pip-version-check -r tests/judges/packages.lock
	$(BIN)/python tests/judges/run.py .venv-judges/bin/python

pictures: $(VENV)/.dev ## Take the console's screenshots again (needs Chromium; pngquant shrinks them)
	$(BIN)/python -m tests.browser.pictures

lock: ## Lock the dependencies again (needs uv)
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group build -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		pyproject.toml --group build --group dev -o requirements-dev.lock
	uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate \
		tests/judges/packages.in -o tests/judges/packages.lock

clean: ## Remove the virtual environments
	rm -rf $(VENV) .venv-judges
