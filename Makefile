# pgmig's only entry. Every target installs what it needs and is missing; see `make help`.
#
#   PG_CONFIG=   the pg_config of the server to build for, 15 to 18; default: Debian's newest, else 15
#   DESTDIR=     install: a directory to put in front of the server's own
#   SCALE=       demo (1) and bench (10): size of the Stack Overflow database, about 250 MB each
#   KEEP=1       demo: leave the clusters running and say how to connect
#   ROUNDS=      bench: rounds of every tool (5); torture: rounds (200)
#   SHARE=       load: share of the sizes in percent (100)
#   SEED=        torture: of the first round, the others follow (by the clock)
#   ONLY=        bench: names of databases and tools, separated by commas, instead of all
#   PGCOPYDB=    bench: a pgcopydb binary; default: the one on the PATH, else none
#   TESTS=       test: only the black-box tests whose names contain this
#   TARGETS=     test-matrix: the versions to copy into (15 16 18)

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test torture load test-matrix regression install bench scaling lint package clean setup setup-build \
	setup-run

PG_CONFIG ?= $(or $(lastword $(sort $(wildcard /usr/lib/postgresql/1[5-8]/bin/pg_config))),/usr/lib/postgresql/15/bin/pg_config)
export PG_CONFIG

# Expanded when a recipe runs, so after `setup` has made PG_CONFIG exist.
PG_MAJOR = $(shell $(PG_CONFIG) --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
FEATURES = --no-default-features --features pg$(PG_MAJOR)
WORKSPACE_FEATURES = --no-default-features --features pgmig/pg$(PG_MAJOR)
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
PACKAGE_DIR = $(TARGET_DIR)/package/pgmig-pg$(PG_MAJOR)
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
BUILD = cargo pgrx package --pg-config $(PG_CONFIG) --out-dir $(PACKAGE_DIR) $(FEATURES)

help:
	@echo 'make demo       two throw-away clusters, a database, one SQL call, the proof'
	@echo 'make test       formatting, clippy, unit tests, black-box tests'
	@echo 'make torture    runs that are killed, cut off and resumed, again and again'
	@echo 'make load       many tables, partitions and runs, and runs beside pgbench, with figures'
	@echo 'make test-matrix  from every version of PostgreSQL that can be a source into every target'
	@echo 'make regression PostgreSQL'"'"'s own regression database, copied and compared'
	@echo 'make install    build and install the extension into the server of PG_CONFIG'
	@echo 'make bench      pgmig beside other tools'
	@echo 'make scaling    what would limit a larger database and more cores than there are here'
	@echo 'make lint       formatting and clippy'
	@echo 'make package    an archive of the files that install copies'
	@echo 'make setup      install what all of these need'
	@echo 'make clean      remove what was built'
	@sed -n 's/^#   /  /p' Makefile

setup:
	@.ci/setup test $(PG_CONFIG)

setup-build:
	@.ci/setup build $(PG_CONFIG)

setup-run:
	@.ci/setup run $(PG_CONFIG)

demo: setup-run
	@$(MAKE) --no-print-directory install
	@.ci/quiet 'build the demo' cargo build --package pgmig-tests --bin demo
	@cargo run --quiet --package pgmig-tests --bin demo

lint: setup-build
	cargo fmt --all --check
	cargo clippy --workspace --all-targets $(WORKSPACE_FEATURES) -- --deny warnings

# pgrx installs the extension's test build, so the real one comes after it.
test: setup
	$(MAKE) --no-print-directory lint
	cargo test --package pgmig-core --package pgmig-benches
	.ci/pgrx-test $(PG_MAJOR) $(FEATURES)
	$(MAKE) --no-print-directory install
	cargo test --package pgmig-tests $(TESTS)

torture: export ROUNDS := $(or $(ROUNDS),200)
torture: export SEED := $(or $(SEED),$(shell date +%s))
torture: setup
	@$(MAKE) --no-print-directory install
	cargo test --quiet --package pgmig-tests -- --nocapture torture::

load: export SHARE := $(or $(SHARE),100)
load: setup
	@$(MAKE) --no-print-directory install
	cargo test --quiet --package pgmig-tests load:: -- --include-ignored --nocapture --test-threads 1

# The extension is built for, and installed into, a server of each target.
TARGETS ?= 15 16 18
test-matrix: setup
	for major in $(TARGETS); do \
	    PG_CONFIG="$$(.ci/server $$major)/pg_config"; \
	    $(MAKE) --no-print-directory "PG_CONFIG=$$PG_CONFIG" setup install; \
	    if [ -e "$$("$$PG_CONFIG" --sharedir)/extension/amcheck.control" ]; then \
	        tests="versions:: pages:: shortcuts:: languages:: ranges::"; \
	    else \
	        tests="versions:: toast_tables_are tables_are_made --skip conversions::"; \
	        echo "PostgreSQL $$major is here without amcheck: tests that need it are left out"; \
	    fi; \
	    cargo test --package pgmig-tests -- --include-ignored $$tests; \
	done

regression: setup
	$(MAKE) --no-print-directory install
	cargo test --package pgmig-tests regression:: -- --include-ignored

# Files are replaced, not overwritten: a running server keeps the library it has mapped.
install: setup-build
	@rm -rf $(PACKAGE_DIR)
	@.ci/quiet 'build the extension for PostgreSQL $(PG_MAJOR)' $(BUILD)
	@.ci/quiet 'install it' $(if $(shell test -w "$$($(PG_CONFIG) --pkglibdir)" && echo yes),,$(SUDO)) \
		.ci/copy-tree $(PACKAGE_DIR) "$(DESTDIR)/"

package: setup-build
	rm -rf $(PACKAGE_DIR)
	$(BUILD)
	tar -C $(PACKAGE_DIR) -czf $(TARGET_DIR)/package/pgmig-$(VERSION)-pg$(PG_MAJOR).tar.gz .
	@echo $(TARGET_DIR)/package/pgmig-$(VERSION)-pg$(PG_MAJOR).tar.gz

bench: setup-run
	@$(MAKE) --no-print-directory install
	@.ci/quiet 'build the benchmark' cargo build --package pgmig-benches
	@cargo run --quiet --package pgmig-benches

scaling: export ONLY := scaling
scaling: bench

clean:
	cargo clean
