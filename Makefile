# The commands of this repository. They need Rust (rustup), Python 3.11 or later and make, and
# `make test` a few programs more (README.md); everything else is installed, pinned, into .local and
# target inside the checkout.

# Ports of the local stack: `make up AWS_PORT=5566`.
AWS_PORT ?= 4566
ISSUER_PORT ?= 4570
PROVIDER_PORT ?= 4571
APP_PORT ?= 4572

# Stories a mode of `make sim`.
SEEDS ?= 10000

# A fire: how many connections, how long it burns, and what its dice start from (empty: anything).
CONNECTIONS ?= 2000
MINUTES ?= 5
SEED ?=
# More of its options, such as FIRE='--built --freeze 0'.
FIRE ?=

# How many requests `make contract` makes up for an operation in each phase. SEED is its too.
CASES ?= 100

# Fuzzing: how long each target runs, and which (empty: all of them).
TARGET ?=

# Which section of samconfig.toml `make deploy` reads, and template parameters to set.
STAGE ?= default
PARAMETERS ?=

FUNCTIONS := $(notdir $(wildcard functions/*))

.PHONY: help up logs test quick sim fuzz bench fire contract reference client check deny fmt build deploy clean

help: ## Lists the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 18

up: ## Runs Grantry on this machine, with a demo provider and app, until Ctrl-C
	@python3 infra/local/up.py --aws-port $(AWS_PORT) --issuer-port $(ISSUER_PORT) --provider-port $(PROVIDER_PORT) --app-port $(APP_PORT)

logs: ## Follows the functions' logs of the stack that `make up` runs
	@python3 infra/local/logs.py --aws-port $(AWS_PORT)

test: ## Runs every check and every test, end to end too
	@python3 infra/local/test.py

quick: ## Runs the tests that need no stack
	@cargo test --locked -p catalogue-format -p shared -p grantry-tests --lib --test it --test sim

sim: ## Simulates the refresh engine under faults, so many stories a mode: SEEDS=10000 ONLY=i6_
	@SIM_SEEDS=$(SEEDS) cargo test --locked --profile sim -p grantry-tests --test sim -- $(ONLY) --nocapture --test-threads=1

fuzz: MINUTES = 10
fuzz: ## Fuzzes what strangers send, with nightly Rust (docs/SECURITY.md): MINUTES=10 TARGET=envelope
	@test -x .local/cargo/bin/cargo-fuzz || cargo install --quiet --locked cargo-fuzz --version 0.13.2 --root .local/cargo
	@set -e; for target in $(or $(TARGET),$(notdir $(wildcard tests/fuzz/corpus/*))); do \
		found=target/fuzz/corpus/$$target; mkdir -p $$found; \
		PATH="$(CURDIR)/.local/cargo/bin:$$PATH" cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir target/fuzz \
			$$target $$found tests/fuzz/corpus/$$target -- -max_total_time=$$(( $(MINUTES) * 60 )) -timeout=10 -rss_limit_mb=1024; \
	done

bench: ## Measures the sweep and the refresh worker (docs/BENCHMARKS.md); ONLY=reads, worker, lookups or isolation
	@cargo bench --locked -p grantry-tests --bench sweep -- $(ONLY)

fire: ## Sets fire to a deployed stack and counts the losses: CONNECTIONS=2000 MINUTES=5 SEED=1
	@python3 infra/local/fire.py --connections $(CONNECTIONS) --minutes $(MINUTES) $(if $(SEED),--seed $(SEED)) $(FIRE)

contract: ## Compares a deployed stack's answers with its OpenAPI document: CASES=100 SEED=1
	@python3 infra/local/contract.py --cases $(CASES) $(if $(SEED),--seed $(SEED))

reference: ## Makes docs/API.md out of docs/openapi, and docs/PROVIDERS.md out of the catalogue
	@cargo run --quiet --locked -p grantry-tests --example reference > target/API.md && mv target/API.md docs/API.md
	@cargo run --quiet --locked -p grantry-tests --example reference providers > target/PROVIDERS.md && mv target/PROVIDERS.md docs/PROVIDERS.md

client: ## Makes the types of clients/typescript out of docs/openapi
	@cargo run --quiet --locked -p grantry-tests --example reference -- document > target/openapi.json
	@package=$$(python3 infra/local/tools.py clients/typescript) && \
	npm --silent --prefix "$$package" run types -- "$(CURDIR)/target/openapi.json" && \
	cp "$$package/src/api.ts" clients/typescript/src/api.ts

check: ## Checks infra/template.yaml and the envelope format
	@python3 infra/local/check.py

deny: ## Checks the dependencies against deny.toml (builds cargo-deny the first time)
	@test -x .local/cargo/bin/cargo-deny || cargo install --quiet --locked cargo-deny --version 0.20.2 --no-default-features --root .local/cargo
	@.local/cargo/bin/cargo-deny --all-features check bans licenses sources

fmt: ## Formats the Rust code
	@cargo fmt --all

build: ## Builds the functions for AWS (arm64) into target/lambda
	@rustup target add aarch64-unknown-linux-gnu
	@tools=$$(python3 infra/local/tools.py build) && \
	PATH="$$tools/bin:$$PATH" cargo lambda build --locked --profile deploy --arm64 $(FUNCTIONS:%=-p %)

deploy: build ## Builds, then deploys to the AWS account of the current credentials
	@tools=$$(python3 infra/local/tools.py local) && \
	SAM_CLI_TELEMETRY=0 "$$tools/bin/sam" deploy --config-file samconfig.toml --config-env $(STAGE) $(if $(PARAMETERS),--parameter-overrides $(PARAMETERS))

clean: ## Deletes everything built or installed into the checkout
	@rm -rf target .local
