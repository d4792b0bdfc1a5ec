# Keyrack. `make` alone explains itself.
.DEFAULT_GOAL := help
.PHONY: help demo serve hsm postgres otel test check format docs texts bench faults fuzz requirements clean

VENV ?= .venv
BIN := $(VENV)/bin
ARGS ?=
export VENV

help: ## Explain the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  ARGS='...' hands options on, for example: make demo ARGS=--check"

demo: $(VENV)/.runtime ## Show Keyrack at work with a pretended vCenter; Ctrl-C ends it
	@$(BIN)/keyrack demo $(ARGS)

serve: $(VENV)/.runtime ## Serve the deployment that 'keyrack init' made
	@$(BIN)/keyrack serve $(ARGS)

hsm: $(VENV)/.runtime ## Add what root keys in an HSM need (the extra 'hsm')
	@requirements/install hsm

postgres: $(VENV)/.runtime ## Add the driver for PostgreSQL, for several nodes (the extra 'postgres')
	@requirements/install postgres

otel: $(VENV)/.runtime ## Add what traces for OpenTelemetry need (the extra 'otel')
	@requirements/install otel

test: $(VENV)/.dev ## Run all tests
	@requirements/debian $(TEST_PACKAGES) || echo "going on without them: tests that need them are skipped" >&2
	$(BIN)/python -m tests $(ARGS)

check: $(VENV)/.dev ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## Put the code into its form
	$(BIN)/ruff check --fix --quiet . || true
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## Write the generated reference pages anew
	$(BIN)/python docs/generate.py

texts: $(VENV)/.dev ## Gather the console's texts for its languages; then translate what is empty
	$(BIN)/python docs/texts.py

bench: $(VENV)/.dev ## Measure against the C floor and PyKMIP; ARGS=key-manager: the key manager
	@requirements/debian gcc libc6-dev libssl-dev make openssl softhsm2
	$(BIN)/python -m bench $(ARGS)

faults: $(VENV)/.dev ## Kill, starve, besiege, flip and probe at length (more than an hour)
	@requirements/debian $(TEST_PACKAGES)
	$(BIN)/python -m pytest tests -m slow --timeout 3600 -s $(ARGS)

fuzz: $(VENV)/.dev ## Feed mutated messages to the codec
	$(BIN)/python -m fuzz $(ARGS)

requirements: ## Write the hash-pinned lists anew (needs uv)
	uv pip compile $(COMPILE) --upgrade pyproject.toml -o requirements/runtime.txt
	uv pip compile $(COMPILE) --upgrade pyproject.toml --extra hsm -o requirements/hsm.txt
	uv pip compile $(COMPILE) --upgrade pyproject.toml --extra otel -o requirements/otel.txt
	uv pip compile $(COMPILE) --upgrade pyproject.toml --extra postgres -o requirements/postgres.txt
	uv pip compile $(COMPILE) --upgrade pyproject.toml --extra hsm --extra otel --extra postgres --group dev -o requirements/dev.txt
	uv pip compile $(COMPILE) --upgrade requirements/build.in -o requirements/build.txt

clean: ## Remove the virtual environment and what tools left behind
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests bench fuzz -name __pycache__ -type d -prune -exec rm -rf {} +

# What only tests call: the openssl command as a client that is not ours, strace to watch the order of syncs, and a
# software HSM with the tool that looks into it.
TEST_PACKAGES := openssl strace softhsm2 opensc rsyslog rsyslog-gnutls postgresql haproxy keepalived iproute2 faketime chromium fonts-noto-cjk
COMPILE := --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet

# The development environment holds all of the runtime's, so it stands for both.
$(VENV)/.runtime: requirements/runtime.txt requirements/build.txt pyproject.toml
	@test -e $(VENV)/.dev || requirements/install runtime
	@touch $@

$(VENV)/.dev: requirements/dev.txt requirements/build.txt pyproject.toml
	@requirements/install dev
	@touch $@ $(VENV)/.runtime
