# Each target is what a person would type. `make demo` and `make test` set up on their own.
PYTHON ?= python3
BIN := .venv/bin

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch .venv/ready

setup: .venv/ready

demo: setup
	rm -rf demo
	$(BIN)/nearfield study run demo --data synthetic:tones --out demo

# Bytecode is kept even where the environment forbids it: hundreds of processes import the package.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/pytest --numprocesses auto --dist worksteal

test: setup lint
	$(PYTEST)

# The unit tests alone, in well under 90 s: what to run after every change.
FAST := tests/core tests/metrics tests/learning

fast: setup
	$(PYTEST) -m 'not slow' $(FAST)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.venv/docs: .venv/ready
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch .venv/docs

# The site, in site/: warnings are errors, and no page fetches anything from the network.
docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Runs the studies of docs/ that are missing or of an older plan (MINUTES=60: that long; it can be continued).
studies: setup
	$(BIN)/python docs/run_studies.py $(if $(MINUTES),--minutes $(MINUTES))

# The whole documents of the studies in docs/, from the facts that git holds.
STUDIES := $(patsubst %/facts.json,%/study.html,$(wildcard docs/studies/*/facts.json))

documents: setup $(STUDIES)

docs/studies/%/study.html: docs/studies/%/facts.json
	$(BIN)/nearfield study report $(@D)

bench: setup
	for table in benchmarks/*.py; do $(BIN)/python $$table || exit 1; done

.PHONY: setup demo test fast lint docs studies documents bench
