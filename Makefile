# Everything a user types. Each target sets up what it needs in $(VENV).

PYTHON ?= python3
VENV ?= .venv
OUT := runs/quickstart
RUN := $(VENV)/bin/python -m
ROWS ?= 140000
BAZEL_FLAGS ?=
FAULTS_FLAGS ?=

.PHONY: help quickstart test faults lint format bazel clean
help:
	@echo 'make quickstart            train, score and compare on made clicks'
	@echo 'make quickstart DATA=FILE  the same on raw Criteo lines, plain or .gz'
	@echo 'make test                  all tests'
	@echo 'make faults                disturb runs; runs/faults/report.json'
	@echo 'make lint                  style and common mistakes'
	@echo 'make bazel                 the tests and the declared layers, by bazel'
	@echo 'make clean                 delete what the others made'

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys, venv, ensurepip; v = sys.version_info[:2]; \
	sys.exit(0 if (3, 11) <= v <= (3, 12) else "error: Python should be 3.11 \
	or 3.12, is %d.%d; name another one: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	@echo 'installing about 2.5 GB of packages; this takes some minutes'
	$(VENV)/bin/python -m pip install --quiet -r requirements.txt
	touch $@

$(VENV)/.tests: $(VENV)/.installed tests/requirements.txt requirements-beam.txt
	$(VENV)/bin/python -m pip install --quiet -r tests/requirements.txt
	touch $@

quickstart: $(VENV)/.installed
	@mkdir -p $(OUT)
ifndef DATA
	$(RUN) pipelines.synthesize --rows=$(ROWS) --output=$(OUT)/clicks.tsv.gz \
	  --truth=$(OUT)/truth.parquet
endif
	$(RUN) pipelines.prepare --input='$(or $(DATA),$(OUT)/clicks.tsv.gz)' \
	  --output=$(OUT)/data --overwrite --min_count=2 --oov=1
	@rm -rf $(OUT)/runs $(OUT)/predictions $(OUT)/seen
	$(RUN) pipelines.compare --arms=pipelines/quickstart.toml \
	  --data=$(OUT)/data --output=$(OUT) \
	  $(if $(DATA),,--truth=$(OUT)/truth.parquet)

test: $(VENV)/.tests
	$(RUN) pytest

faults: $(VENV)/.tests
	$(VENV)/bin/python tests/faults/run.py --output=runs/faults/report.json \
	  $(FAULTS_FLAGS)

lint: $(VENV)/.tests
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .

format: $(VENV)/.tests
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bazel: $(VENV)/.tests
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" .ci/bazel test $(BAZEL_FLAGS) //...

clean:
	rm -rf $(VENV) runs
