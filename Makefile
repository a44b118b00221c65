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
.PHONY: assistant otel wheel image chart site compare release artifacts

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
	uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements.lock
	uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
else
	@$(CHECK_VENV)
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing (a minute, once) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
endif
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.run
ifdef UV
	uv pip install --quiet --python $(BIN)/python --require-hashes --no-deps -r requirements-dev.lock
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-dev.lock
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

# Those that kill processes in a loop or compare times come last and have the machine to themselves: what they promise is about
# processes that get their turn, and they have little to add to the coverage of the others. A worker that has nothing left to do
# takes from the others: a file of them takes minutes.
test: lint ## Lint, and run every test
ifdef COVER
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not slow" -n $(WORKERS) --dist loadfile
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
else
	$(BIN)/pytest -m "not slow" -n $(WORKERS) --dist loadfile
endif
	$(BIN)/pytest -m slow -n 3 --dist worksteal

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

assistant: $(VENV)/.dev requirements-mcp.lock ## Test `gateway mcp` with the official package, in an environment of its own
	@test -x .venv-mcp/bin/python || $(PYTHON) -m venv .venv-mcp
	.venv-mcp/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-mcp.lock
	GATEWAY_TEST_MCP=$(abspath .venv-mcp/bin/python) $(BIN)/pytest -q tests/assistant

otel: $(VENV)/.dev requirements-otel.lock ## Test traces and metrics with OpenTelemetry's packages, in an environment of its own
	@test -x .venv-otel/bin/python || $(PYTHON) -m venv .venv-otel
	.venv-otel/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements-otel.lock
	GATEWAY_TEST_OTEL=$(abspath .venv-otel/bin/python) $(BIN)/pytest -q tests/collector

pictures: $(VENV)/.dev ## Take the console's screenshots again (needs Chromium; pngquant shrinks them)
	$(BIN)/python -m tests.browser.pictures

# What is published. Each target works in a fresh clone, and has its packages in an environment of its own.

.venv-site/.done: docs/site.lock
.venv-chart/.done: deploy/chart.lock
.venv-release/.done: release/tools.lock
.venv-site/.done .venv-chart/.done .venv-release/.done:
	@$(CHECK_PYTHON)
	@test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $<
	@touch $@

# The time of the commit in the archives: the same commit gives the same bytes.
EPOCH = $(shell git log -1 --format=%ct 2>/dev/null || date +%s)

wheel: $(VENV)/.run ## Build dist/*.whl and *.tar.gz, and try the wheel in a clean environment of each Python that is here
	rm -f dist/hookkeeper-*.whl dist/hookkeeper-*.tar.gz
	SOURCE_DATE_EPOCH=$(EPOCH) $(BIN)/python -m hatchling build -d dist
	$(BIN)/python release/try_wheel.py dist/hookkeeper-*.whl

# BASE=debian makes the base from Debian's packages, where no registry of images can be reached. Exit code 3: no engine.
ifeq ($(BASE),debian)
image: BASE_IMAGE = $$(deploy/image.sh base)
else
image: BASE_IMAGE = $(BASE)
endif
image: ## Build the image, run it and weigh it (needs docker, podman or buildah; BASE=debian: without a registry of images)
	@base=$(BASE_IMAGE) || exit $$?; BASE=$$base deploy/image.sh build || exit $$?; \
		deploy/image.sh try && deploy/image.sh size

chart: .venv-chart/.done ## Lint the Helm chart, validate what it renders against Kubernetes' schemas, and package it into dist/
	.venv-chart/bin/python deploy/chart.py dist

site: .venv-site/.done ## Build the documentation into dist/site, and fail for a link that leads nowhere
	NO_MKDOCS_2_WARNING=1 .venv-site/bin/python -m mkdocs build --strict --site-dir dist/site

compare: $(VENV)/.run ## Measure this gateway beside other programs at the same job (options: COMPARE="..."; npm brings Node-RED)
	@test -x bench/compare/node_modules/.bin/node-red || npm install --silent --no-audit --no-fund --no-package-lock \
		--prefix bench/compare || echo "NODE-RED CANNOT BE HAD: npm failed" >&2
	@PYTHONPATH=. $(BIN)/python -m bench.compare.run $(COMPARE)

# Asked before anything is installed.
ifneq ($(filter release,$(MAKECMDGOALS)),)
$(if $(VERSION),,$(error say which: make release VERSION=1.2.3))
endif

release: $(VENV)/.dev ## Cut a release: changelog, version, commit and tag, then build all that is published (VERSION=1.2.3)
	$(BIN)/python release/cut.py $(VERSION)
	@$(MAKE) --no-print-directory artifacts

artifacts: .venv-release/.done ## Build all that is published of this commit into dist/: with image, SBOM, checksums, signatures
	rm -rf dist
	@$(MAKE) --no-print-directory wheel chart
	.venv-release/bin/python release/artifacts.py

# A lock names everything that is installed, so nothing is resolved again (--no-deps). Left out: polyfactory and Faker, 25 MB
# that Litestar 2 requires for examples in OpenAPI documents, which nothing here makes. A test holds that they are not needed.
LOCK := uv pip compile --quiet --universal --python-version 3.11 --no-header --no-annotate
WITHOUT := --no-emit-package polyfactory --no-emit-package faker

lock: ## Lock the dependencies again (needs uv)
	$(LOCK) --generate-hashes $(WITHOUT) pyproject.toml --group build -o requirements.lock
	$(LOCK) --generate-hashes $(WITHOUT) pyproject.toml --group build --group dev -o requirements-dev.lock
	$(LOCK) --generate-hashes $(WITHOUT) -c requirements.lock pyproject.toml --extra mcp --group build -o requirements-mcp.lock
	$(LOCK) --generate-hashes $(WITHOUT) -c requirements.lock pyproject.toml --extra otel --group build -o requirements-otel.lock
	$(LOCK) --generate-hashes docs/site.in -o docs/site.lock
	$(LOCK) --generate-hashes deploy/chart.in -o deploy/chart.lock
	$(LOCK) --generate-hashes release/tools.in -o release/tools.lock
	$(LOCK) tests/judges/packages.in -o tests/judges/packages.lock

clean: ## Remove the virtual environments
	rm -rf $(VENV) .venv-judges .venv-mcp .venv-otel .venv-site .venv-chart .venv-release
