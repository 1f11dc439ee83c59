# make demo   install, run the main job on the sample data, serve it (SERVE=0: stop after the job)
# make test   install, then every check and test, on SQLite and on PostgreSQL (REQUIRE_ALL=1: a skipped test is a failure)
# make bench  the measurements of docs/performance.md

PYTHON ?= python3
SERVE ?= 1
PORT ?= 8000
WORKERS ?= 3
BIN := .venv/bin

.PHONY: demo test check bench lock clean
.DELETE_ON_ERROR:

.venv/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: .venv/.installed
	$(BIN)/title-registry --data demo-data demo --port $(PORT) $(if $(filter 0,$(SERVE)),--no-serve,--serve)

check: .venv/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/pytest -n $(WORKERS) --dist loadfile
	TITLE_REGISTRY_TEST_ENGINE=postgresql $(BIN)/pytest -n $(WORKERS) --dist loadfile

bench: .venv/.installed
	$(BIN)/title-registry bench

# The lock holds names, versions and hashes only; needs uv.
lock:
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes --no-header \
	  --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.lock

clean:
	rm -rf .venv demo-data demo-data.checkpoints build dist *.egg-info
