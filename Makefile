# The two commands of a newcomer are `make demo` and `make test`; `make help` lists the others.
SHELL := /bin/sh
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help install demo test check lint unit cluster cluster-down test-cluster docs lock schema clean

help:            ## this list
	@sed -n 's/^\([a-z-]*\): .*## /\1\t/p' Makefile | expand -t 16

install:         ## fill .venv from the lock file
	@deploy/bootstrap.sh

demo: install    ## a local session, a small catalog, NDVI and a composite on its workers
	@$(BIN)/python examples/demo.py

test: install    ## everything: lint, types, tests, the virtual cluster where it can
	@deploy/test.sh

lint: install    ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

unit: install    ## the tests that need no cluster
	@$(BIN)/pytest -m "not cluster"

cluster:         ## start the virtual cluster (root on Debian)
	@deploy/virtual-cluster/vc up

cluster-down:    ## stop it, leaving nothing behind
	@deploy/virtual-cluster/vc down

lock: install    ## resolve the dependencies anew
	@deploy/lock.sh

schema: install  ## write config/schema.json from the models
	@$(BIN)/python -m rsdat.config.schema config/schema.json

clean:           ## remove what these commands made, but the sessions
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache demo-output
