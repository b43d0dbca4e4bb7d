# One word for each thing that is done to this repository; .ci/run uses the same words.
.DEFAULT_GOAL := help

# What `make soak` may be told: which scenarios, how many rounds, for how long, with which build.
SCENARIO =
COUNT =
SECONDS =
RELEASE =
# What `make fuzz` may be told: which target (all), and for how long each.
TARGET =
# Another build of the daemon for `make bench-gateway` to compare with, in the same rounds.
BESIDE =
# What `make wild` may be told: which servers (a,b), how many of the table at most; how many seconds late they begin.
ONLY =
LATE =
# Where `make record-answers` writes.
DIR =

.PHONY: help build dist deb deb-test image-test release test-docs test-docs-short check test openapi canary record-answers sdk sdk-drift test-sdk conformance clients clients-short remotes remotes-names remotes-day authorization prometheus traces browser ui ui-install soak fuzz real-servers wild wild-short lint fmt fmt-check clippy doc deny bench bench-parts bench-activity bench-gateway bench-starts bench-sdk budget bench-remotes bench-ui

help: ## Show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | \
	  while IFS='|' read -r name text; do printf '  make %-14s %s\n' "$$name" "$$text"; done

build: ## Build the release daemon: target/release/mcpvisor
	cargo build --locked --release --bin mcpvisor --bin mcp-server

dist: ## Build the daemon as packages have it, slower to build and faster: target/dist/mcpvisor
	cargo build --locked --profile dist --bin mcpvisor --bin mcp-server

deb: ## The Debian package, in target/debian/: PROFILE=release to try one sooner
	deploy/package/deb.sh

deb-test: ## Install the package in a root of its own, run the service there as its unit says with npx and uvx servers, remove and purge it; as root
	deploy/package/deb-test.sh

image-test: ## Run the Dockerfile's steps in a fresh root, and the daemon there as PID 1, where no Docker is; as root
	deploy/package/image-test.sh

release: ## What a release has, in target/dist-files/: tarball, Debian package, SHA256SUMS
	deploy/package/release.sh

test-docs: ## Run every command of README and book, compare what comes of it, check all links: ONLY=page
	tests/docs/install.sh
	cargo build --locked --bin mcpvisor --bin mcp-server
	$(try_docs) $(if $(ONLY),--only $(ONLY))

test-docs-short: ## Only the README's commands, and all links
	tests/docs/install.sh
	cargo build --locked --bin mcpvisor --bin mcp-server
	$(try_docs) --short

test: real-servers wild-short clients-short ui-install ## Install what the tests need, then run every test
	cargo test --locked
	$(try_clients) --short
	$(try_ui) --short

openapi: ## Write the OpenAPI documents anew, of what the code answers
	UPDATE_OPENAPI=1 cargo test --locked --lib the_document_of_

canary: real-servers wild-short ## The tests of the daemon with everything logged: no secret of a test may be in any log
	MCPVISOR_TEST_LOG=trace cargo test --locked --test gateway

record-answers: real-servers wild-short ## The tests of the daemon, with every answer written down in the folder DIR=
	@test -n "$(DIR)" || { echo 'say where: make record-answers DIR=folder'; exit 2; }
	MCPVISOR_TEST_RECORD=$(abspath $(DIR)) cargo test --locked --test gateway

conformance: ## The official MCP conformance suite against /mcp, in front of children and remote servers of each era, and as a server that the daemon connects to: OUT=folder for what was said
	tests/conformance/install.sh
	cargo build --locked --bin mcpvisor
	python3 -B tests/conformance/run.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor $(if $(OUT),-o $(OUT)/server)
	python3 -B tests/conformance/run_client.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor $(if $(OUT),-o $(OUT)/client)

# The daemon is there after `cargo test` as well; building it alone would build some crates anew.
try_docs = python3 -B tests/docs/run.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor
try_clients = python3 -B tests/clients/run.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor

sdk: ## Write the clients' types anew, of the OpenAPI documents; needs what `make test-sdk` has installed
	python3 -B sdk/python/generate.py
	python3 -B sdk/python/derive_sync.py
	cd sdk/typescript && npm run --silent generate
	cd sdk/go && go generate .

sdk-drift: ## Are the clients' types those of the OpenAPI documents? ONLY=python|typescript|go
	sdk/drift.sh $(ONLY)

test-sdk: ## The clients in TypeScript, Python and Go: their own tests and checks, packed and installed, then 148 promises against a real daemon in each: ONLY=python|typescript|go
	cargo test --locked --test gateway --no-run
	sdk/test.sh $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor $(or $(CARGO_TARGET_DIR),target)/debug/fake-mcp $(ONLY)

clients: ## Twelve MCP clients that others wrote, against /mcp in front of a child of each era, some 15 minutes: ONLY=client[:era[:place]]
	tests/clients/install.sh
	cargo build --locked --bin mcpvisor
	$(try_clients) $(if $(ONLY),--only $(ONLY))

remotes: ## Nineteen remote servers that others wrote the libraries of, killed, stopped, cut and moved under the daemon, some 40 minutes: ONLY=server[:check]
	tests/remotes/install.sh
	cargo build --locked --bin mcpvisor
	python3 -B tests/remotes/run.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor $(if $(ONLY),--only $(ONLY))

remotes-names: ## Names of remote servers that come to lead elsewhere, to metadata, loopback and private addresses, some two minutes; as root: ONLY=server[:check]
	tests/remotes/install.sh
	cargo build --locked --bin mcpvisor
	python3 -B tests/remotes/names.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor $(if $(ONLY),--only $(ONLY))

remotes-day: ## A day of dead, unauthorized and rate-limiting remote servers, its clocks running faster, 5 minutes or more: HOURS=, SPEED=
	cargo build --locked --bin mcpvisor
	python3 -B tests/remotes/day.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor $(if $(HOURS),--hours $(HOURS)) $(if $(SPEED),--speed $(SPEED))

authorization: ## A certified authorization server in front of a server with the SDK's guard: logins, renewals, kills, some three minutes: ONLY=topic[:check], SHORT=1 for one minute
	tests/authorization/install.sh
	cargo build --locked --bin mcpvisor
	python3 -B tests/authorization/run.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY))

prometheus: ## Debian's Prometheus scrapes a daemon: each alert fires on its fault and on nothing else, each query of the Grafana board answers; four minutes, as root
	cargo test --locked --no-run --test tidy # which needs all programs, the tests' own server among them
	python3 -B tests/prometheus/run.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor --fake $(or $(CARGO_TARGET_DIR),target)/debug/fake-mcp

traces: ## A collector that others wrote gets the spans of calls that cross HTTP, the daemon and a server on the Python SDK
	tests/traces/install.sh
	cargo build --locked --bin mcpvisor
	tests/traces/venv/bin/python -B tests/traces/run.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor

clients-short: ## Install the three of them of which `make test` tries a minute
	tests/clients/install.sh --short

ui-install: ## Install what drives a browser over the dashboard
	tests/ui/install.sh

# As for the clients: the daemon is there after `cargo test`.
try_ui = node tests/ui/run.mjs --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor

ui: real-servers ui-install ## The dashboard in Debian's Chromium before real servers, with axe-core: ONLY=part of a check's name, PICTURES=folder for what was seen
	cargo build --locked --bin mcpvisor
	$(try_ui) $(if $(ONLY),--only "$(ONLY)") $(if $(PICTURES),--pictures $(abspath $(PICTURES)))

bench-ui: ui-install ## 100 servers and 600 tools on the dashboard: the daemon's time, first paint, elements; fails beyond its bars
	cargo build --locked --release --bin mcpvisor
	node tests/ui/bench.mjs --daemon $(or $(CARGO_TARGET_DIR),target)/release/mcpvisor

browser: ## A browser through /mcp: Playwright's server drives Debian's Chromium for a client of each era
	tests/browser/install.sh
	cargo build --locked --bin mcpvisor
	python3 -B tests/browser/run.py --daemon $(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor

soak: real-servers ## The long runs: SCENARIO=cycles|kills|broken|mixed|idle|edit|durability|powercut|usage|limits|queries|hangups|ids|authority|slow|unread|budgets|clients|dashboard|seed|unit, COUNT=, SECONDS=, RELEASE=1
ifeq ($(SCENARIO),seed)
	SIMULATION_RUNS=$(or $(COUNT),2000) cargo test --locked $(if $(RELEASE),--release) --lib simulation -- --nocapture
else ifeq ($(SCENARIO),dashboard)
	tests/ui/install.sh
	cargo build --locked $(if $(RELEASE),--release) --bin mcpvisor
	node tests/ui/soak.mjs --daemon $(or $(CARGO_TARGET_DIR),target)/$(if $(RELEASE),release,debug)/mcpvisor $(if $(SECONDS),--seconds $(SECONDS)) $(if $(COUNT),--rate $(COUNT))
else ifeq ($(SCENARIO),unit)
	SOAK=long SOAK_COUNT=$(COUNT) cargo test --locked $(if $(RELEASE),--release) --lib
else
	SOAK=long SOAK_COUNT=$(COUNT) SOAK_SECONDS=$(SECONDS) cargo test --locked $(if $(RELEASE),--release) \
	  --test gateway soak::$(SCENARIO) -- --nocapture --test-threads=1
	$(if $(filter authority,$(SCENARIO)),SOAK=long SOAK_COUNT=$(COUNT) cargo test --locked $(if $(RELEASE),--release) --lib authority_tests)
endif

fuzz: ## Fuzz by coverage on stable Rust, from the kept corpora: TARGET=, SECONDS=, KEEP=1 to keep what is new
	fuzz/run $(or $(SECONDS),60) $(TARGET)

real-servers: ## Install the pinned servers and generators of clients from npm and PyPI into tests/real
	tests/real/install.sh

# The same choice for both programs: what is installed is what is compared.
chosen_servers = $(if $(ONLY),--only $(ONLY)) $(if $(COUNT),--count $(COUNT))

wild: ## Thirty published servers, installed and compared with what a plain client sees: ONLY=name,name, COUNT=how many, LATE=seconds
	python3 -B tests/wild/install.py $(chosen_servers)
	cargo build --locked --bin mcpvisor
	MCPVISOR=$(or $(CARGO_TARGET_DIR),target)/debug/mcpvisor python3 -B tests/wild/compare.py $(chosen_servers) $(if $(LATE),--late $(LATE))

wild-short: ## Install the six small ones of them, which `make test` compares
	python3 -B tests/wild/install.py --short

check: fmt-check clippy ## The quick check: format, clippy, unit tests, the rules of tests/tidy.rs
	cargo test --locked --lib
	cargo test --locked --test tidy

lint: fmt-check clippy doc ## Everything that is checked without running: format, clippy, docs

fmt: ## Format the code
	cargo fmt --all

fmt-check: ## Is the code formatted?
	cargo fmt --all --check

clippy: ## Clippy over every target, benches included; warnings are errors
	cargo clippy --locked --all-targets --features bench -- -D warnings

doc: ## Build the documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

deny: ## Licences, advisories, duplicates and sources of all dependencies
	.ci/deny

bench: ## What speed is to be and what it is, a table with the baselines in the same run: ONLY=calls,large,starts,memory,instructions
	cargo bench --locked --features bench --bench gateway --no-run
	$(if $(ONLY),ONLY=$(ONLY)) python3 -B benches/table.py "$$(ls -t $(or $(CARGO_TARGET_DIR),target)/release/deps/gateway-* | grep -v '\.d$$' | head -1)" \
	  $(or $(CARGO_TARGET_DIR),target)/release/mcpvisor

bench-parts: ## The benches of single parts: frames, and a call within the process
	cargo bench --locked --features bench --bench framing --bench round_trip

bench-activity: ## What it takes to find calls among 100,000 of 20 keys over 50 tools, to record one, and to have the dashboard open; fails beyond its bars
	cargo test --locked --release --lib any_filter_over_100_000_calls -- --nocapture
	cargo bench --locked --features bench --bench gateway -- --variants gateway,unrecorded,watched --levels 64 --rounds 21 --bars

budget: ## Instructions and pieces of memory of a call (small, 64 KiB, an MCP client's), against benches/budget.json: more than 5 % above fails; RECORD=1 writes it anew
	cargo build --locked --release --bin mcpvisor
	cargo test --locked --test gateway --no-run
	CALLS=1600 python3 -B benches/instructions.py --budget benches/budget.json $(if $(RECORD),--record) \
	  $(or $(CARGO_TARGET_DIR),target)/debug/fake-mcp $(or $(CARGO_TARGET_DIR),target)/release/mcpvisor

bench-starts: ## How long servers take to answer after a start of the daemon, and after `kill -9`: BESIDE= as below
	cargo bench --locked --features bench --bench gateway --no-run
	python3 -B benches/starts.py "$$(ls -t $(or $(CARGO_TARGET_DIR),target)/release/deps/gateway-* | grep -v '\.d$$' | head -1)" \
	  $(if $(BESIDE),$(abspath $(BESIDE))) $(or $(CARGO_TARGET_DIR),target)/release/mcpvisor

bench-sdk: ## What each client costs beside the bare HTTP library of its language; fails beyond its bar: ONLY=python|typescript|go
	sdk/overhead.sh $(ONLY)

bench-gateway: ## Only the whole path of a call, next to its two baselines: BESIDE=path of another build of the daemon
	$(if $(BESIDE),BENCH_BESIDE=$(abspath $(BESIDE))) cargo bench --locked --features bench --bench gateway

bench-remotes: ## The whole path of a call to a remote server, next to a bare proxy; fails if a bar is broken: BESIDE= as above
	$(if $(BESIDE),BENCH_BESIDE=$(abspath $(BESIDE))) cargo bench --locked --features bench --bench gateway -- \
	  --variants remote,remote-mcp,remote-legacy,proxy --levels 64 --rounds 9 --bars
