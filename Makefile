# geo_pipeline: `make demo` does the whole job on the bundled world, `make test` runs linters, types and tests.
# Both set up .venv first; all that is needed is Python 3.11 or newer, make, and a package index for pip.
PYTHON ?= python3
PROFILE ?= world
BIN := .venv/bin
READY := .venv/.ready
RUN := GEO_PIPELINE_PROFILE=$(PROFILE) $(BIN)/geo-pipeline
QUICK_TESTS := $(BIN)/pytest -m "not slow" --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes --no-header \
	--no-annotate --no-emit-index-url --no-emit-find-links pyproject.toml --output-file requirements.lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint dev bench pictures lock clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv with the exact versions of requirements.lock

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv --clear .venv
	awk '/^[a-z]/ {wanted = /^uv==/} wanted' requirements.lock > .venv/uv.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(READY)

demo: $(READY) ## the whole job: crawl, cells, training, benchmarks, report (PROFILE=world)
	$(RUN) materialize --stale
	$(RUN) accuracy

test: lint ## linters, types and the quick tests
	$(QUICK_TESTS)

test-all: lint ## linters, types and all tests, the long ones too
	$(QUICK_TESTS)
	$(BIN)/pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

dev: $(READY) ## the Dagster page on http://127.0.0.1:3000 (PROFILE=world)
	DAGSTER_HOME=$$($(RUN) install --env-file) GEO_PIPELINE_PROFILE=$(PROFILE) $(BIN)/dagster dev -w workspace.yaml --host 127.0.0.1 --port 3000

bench: $(READY) ## every performance claim against its peer or floor
	for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

pictures: $(READY) ## the README's pictures, from a running page and the last report (needs Chromium)
	$(BIN)/python -m geo_pipeline_tests.browser.pictures

lock: $(READY) ## resolve requirements.lock anew from pyproject.toml
	$(LOCK)

clean: ## remove .venv and everything that was made (.geo_pipeline)
	rm -rf .venv .geo_pipeline .env .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
