# The targets people and CI use. RocksDB is compiled once for all of them: one profile, one target
# directory, and always the whole workspace, because a subset would select other features.

CARGO ?= cargo
PROFILE := --release
export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN := $(CARGO_TARGET_DIR)/release
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help demo dashboard test test-dashboard test-openapi test-python upgrade-test chaos fuzz miri audit verify fix bench build doc clean deps

help:
	@echo "make demo    three masters and two workers on this machine, Ctrl-C stops them"
	@echo "make test    all tests, with real processes and real faults"
	@echo "make test-python    the Python package: lints, types, and tests against a real cluster"
	@echo "make test-dashboard   the dashboard in Chromium, against real clusters"
	@echo "make test-openapi   calls of every operation of REST, against its description"
	@echo "make upgrade-test   upgrades from the release before, which is built of its sources first"
	@echo "make chaos   random faults for MINUTES=10, on hosts and disks of their own (as root)"
	@echo "make fuzz    mutated bytes for every decoder, MINUTES=10 for each package"
	@echo "make miri    the pure state and the worker's ledger under Miri, which needs nightly Rust"
	@echo "make audit   spelling, the lockfile, and what dependencies may be"
	@echo "make verify  audit, format, lints, documentation and tests; changes nothing"
	@echo "make fix     formats and applies what lints suggest"
	@echo "make dashboard   builds the page that masters serve, from dashboard/src into dashboard/dist"
	@echo "make bench   all benchmarks, one table"
	@echo "make build   the binaries, in $(BIN)"
	@echo "make clean   removes what was built, RocksDB included"

deps:
	@deploy/install-deps.sh

build: deps
	$(CARGO) build $(PROFILE) --workspace --all-targets

demo: build
	$(BIN)/clusterctl dev

test: build
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run $(PROFILE) --workspace
else
	$(CARGO) test $(PROFILE) --workspace --lib --bins --tests --no-fail-fast -- --test-threads=1
endif

test-python: build
	clients/python/test.sh

# The page that masters serve. What is built is committed, so that nobody needs Node.js for the masters.
dashboard:
	@deploy/install-node.sh
	cd dashboard && npm ci --ignore-scripts --no-progress --loglevel=error && npm run --silent build

# Programs that CLOUDAI_BIN names are taken as they are.
CLOUDAI_BIN ?= $(BIN)
test-dashboard: $(if $(filter $(BIN),$(CLOUDAI_BIN)),build)
	CLOUDAI_BIN=$(CLOUDAI_BIN) deploy/test-dashboard.sh

# Needs the programs, Python and its package registry.
test-openapi: build
	tests/openapi.sh

# The release before is built of its sources in a worktree of their own, for which the tests that everybody
# runs have no time. The programs of this release are built last: both builds have the same target directory.
BEFORE ?= 4703179
BEFORE_SOURCES := $(CARGO_TARGET_DIR)/release-before-sources
CLOUDAI_OLD_RELEASE ?= $(CARGO_TARGET_DIR)/release-before
upgrade-test: $(CLOUDAI_OLD_RELEASE)/master build
	CLOUDAI_OLD_RELEASE=$(CLOUDAI_OLD_RELEASE) $(CARGO) test $(PROFILE) --workspace --test system \
		upgrade::release_before -- --ignored --nocapture --test-threads=1

$(CLOUDAI_OLD_RELEASE)/master: | deps
	git worktree add --force --detach $(BEFORE_SOURCES) $(BEFORE)
	cd $(BEFORE_SOURCES) && $(CARGO) build $(PROFILE) --workspace --bins
	mkdir -p $(CLOUDAI_OLD_RELEASE)
	cp $(BIN)/worker $(BIN)/master $(CLOUDAI_OLD_RELEASE)
	git worktree remove --force $(BEFORE_SOURCES)

# Random faults for so many minutes, from a seed that is printed (CLOUDAI_CHAOS_SEED repeats one).
MINUTES ?= 10
chaos: build
	CLOUDAI_CHAOS_SECONDS=$$(($(MINUTES) * 60)) $(CARGO) test $(PROFILE) --workspace --test system \
		chaos::promises_are_kept_whatever_fails -- --exact --nocapture

# Mutated bytes for so many minutes, all decoders of a package at the same time.
fuzz: build
	CLOUDAI_FUZZ_SECONDS=$$(($(MINUTES) * 60)) $(CARGO) test $(PROFILE) --workspace --lib --test api \
		fuzz -- --nocapture --test-threads=64

# The interpreter is some hundred times slower, so tests of thousands of workers or results are left out.
miri: deps
	MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=2 \
		$(CARGO) +nightly miri test --package cluster-state --lib -- --skip capacity::tests
	MIRIFLAGS=-Zmiri-disable-isolation PROPTEST_CASES=2 \
		$(CARGO) +nightly miri test --package worker --lib -- ledger::tests \
		--skip a_registration_names_the_results_that_do_not_fit_into_it

doc: deps
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(PROFILE) --workspace --no-deps

audit: deps
	@deploy/audit.sh

verify: audit
	$(CARGO) fmt --all --check
	$(CARGO) clippy $(PROFILE) --workspace --all-targets -- -D warnings
	$(MAKE) doc
	$(MAKE) test
	$(MAKE) test-python
	$(MAKE) test-dashboard
	$(MAKE) test-openapi

fix: deps
	$(CARGO) clippy $(PROFILE) --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

bench: build
	$(BIN)/cluster-bench all

clean:
	$(CARGO) clean
