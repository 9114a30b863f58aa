# The commands of this project; `make` lists them.
TARGET := $(or $(CARGO_TARGET_DIR),target)
BIN := $(TARGET)/debug/ai-tracing
PYTHON := target/venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo build console test lint unit docs-check lua valgrind e2e console-test console-images chaos bench bench-engine fuzz deny

help: ## List the commands
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

demo: ## Build, start everything with a simulated LLM, send calls, show their traces (no keys, no network)
	@scripts/bootstrap.sh build
	cargo build --bin ai-tracing
	@$(BIN) demo $(ARGS)

build: ## Build the optimised binary: target/release/ai-tracing
	@scripts/bootstrap.sh build
	cargo build --release --bin ai-tracing

console: ## Build the console's page into console/dist, which the binary has in it; needs Node 20
	npm --prefix console ci --no-audit --no-fund --silent
	npm --prefix console run --silent build
	python3 console/sources.py --write

test: ## Install what is needed, then check format, lints, unit and end-to-end tests
	@scripts/bootstrap.sh test
	@$(MAKE) --no-print-directory lint unit docs-check lua valgrind e2e console-test

# Cheapest first. `unit` builds every target of the workspace once, so that the binary of the end-to-end tests and the
# unit tests share one set of features and nothing is compiled twice.
lint:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings

unit:
	cargo build --workspace --all-targets
	cargo test --workspace --quiet

docs-check:
	$(TARGET)/debug/xtask docs --check
	$(TARGET)/debug/xtask layers
	python3 console/sources.py

lua:
	busted

valgrind:
	scripts/valgrind.sh

e2e: ## End-to-end tests alone (after `make test` has built everything once); ARGS='-k name' picks some
	@scripts/bootstrap.sh test
	$(PYTHON) -m pytest -q -p no:cacheprovider tests/e2e $(ARGS)

console-test: ## The console in a browser (after `make test` has built everything once); ARGS='--test-name-pattern=x' picks some
	@scripts/bootstrap.sh test
	node --test --test-concurrency=1 $(ARGS) tests/console/*.test.mjs

console-images: ## Refresh the documentation's pictures of the console (after `make test` has built everything once)
	node tests/console/pictures.mjs

chaos: ## Kills, outages, full disks, damaged files, wrong clocks (half an hour); write docs/delivery.md; ARGS='kill' picks some
	@scripts/bootstrap.sh chaos
	cargo build --release --quiet --bin ai-tracing
	$(PYTHON) tests/chaos/run.py $(ARGS)

bench: ## Measure the engine, and the gateway against nginx and a direct connection; write docs/performance.md
	@scripts/bootstrap.sh bench
	python3 bench/run.py $(ARGS)
	python3 bench/console.py

bench-engine: ## Measure the engine alone (3 minutes), write its section of docs/performance.md
	@scripts/bootstrap.sh build
	python3 bench/engine.py $(ARGS)

fuzz: ## Run each fuzz target for FUZZ_SECONDS (60); ARGS='sse json' picks some; needs a nightly toolchain
	@scripts/fuzz.sh $(ARGS)

deny: ## Check licences, sources and banned crates with cargo-deny (installed on first use, which takes minutes)
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet cargo-deny
	cargo deny --all-features check bans licenses sources
