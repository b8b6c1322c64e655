# Stillhouse: generate traces, train a student, say honestly whether it got better. `make help` lists the targets.
# One environment a program, each from its own constraints; a target makes the one it needs and nothing when it is up to date.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
GENERATOR := .venv/generator/bin/python
TRAINER := .venv/trainer/bin/python
EVALUATION := .venv/evaluation/bin/python
# Paths first on every run, so that the programs run from this checkout wherever make was called.
export PYTHONPATH := $(CURDIR)

.PHONY: help generate train evaluate demo test check bench setup-generator setup-trainer setup-evaluation

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

generate: setup-generator  ## generate verified traces [CONFIG=configs/x.toml]
	@$(GENERATOR) -m generator run $(CONFIG)

setup-generator: .venv/generator/.ready  ## the generator's environment
setup-trainer: .venv/trainer/.ready  ## the trainer's environment (adds Unsloth where there is an NVIDIA GPU)
setup-evaluation: .venv/evaluation/.ready  ## the evaluation's environment

.venv/%/.ready: constraints/%.txt pyproject.toml
	@echo "setting up .venv/$* (once; a few minutes)"
	@rm -rf .venv/$* && $(PYTHON) -m venv .venv/$*
	@.venv/$*/bin/python -m pip install --quiet --disable-pip-version-check -c constraints/$*.txt -e '.[$*,dev]'
	@touch $@
