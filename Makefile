# Every target is a plain command line: `make -n TARGET` prints what to copy.
PYTHON ?= python3
PIP_FLAGS ?=
PYTEST_FLAGS ?=
JOBS ?= 2
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
TOGETHER = -n $(JOBS) --dist worksteal -m "not alone"
ALONE = -m alone
FAST = -n $(JOBS) --dist worksteal -m "not (slow or cluster or host or alone)"

.DEFAULT_GOAL := help
.PHONY: help env demo test test-fast check bench clean

help:
	@echo 'make env     create $(VENV) and install Paintover with training and development tools'
	@echo '                 $(PYTHON) -m venv $(VENV) && $(BIN)/pip install -c constraints.txt -e ".[train,desk,farm,dev]"'
	@echo 'make demo    paint one frame of a real clip, train, render; ends with a contact sheet and a movie'
	@echo '                 $(BIN)/python -m plugin.demo'
	@echo 'make test    every test, $(JOBS) at a time, then alone those that measure by the clock;'
	@echo '             those that need a GPU or the shared footage skip with a reason'
	@echo '                 $(BIN)/python -m pytest $(TOGETHER) && $(BIN)/python -m pytest $(ALONE)'
	@echo 'make test-fast  the inner loop, under 90 seconds: no slow test, no farm, no host, nothing by the clock'
	@echo '                 $(BIN)/python -m pytest $(FAST)'
	@echo 'make check   lint, format, types, and which module may import which'
	@echo '                 $(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports'
	@echo 'make bench   training and rendering times on this machine, beside the published configuration'
	@echo '                 $(BIN)/python -m engine.bench'
	@echo 'make clean   remove caches and the demo; $(VENV) stays'
	@echo
	@echo 'PYTHON=python3.12 picks the interpreter (3.10 to 3.13), PIP_FLAGS and PYTEST_FLAGS are passed on,'
	@echo 'JOBS=4 runs more tests at a time; a GiB of memory and a core for each.'

env: $(STAMP)

$(STAMP): setup.py constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install $(PIP_FLAGS) -c constraints.txt -e ".[train,desk,farm,dev]"
	touch $(STAMP)

demo: env
	$(BIN)/python -m plugin.demo

test: env
	$(BIN)/python -m pytest $(TOGETHER) $(PYTEST_FLAGS)
	$(BIN)/python -m pytest $(ALONE) $(PYTEST_FLAGS)

test-fast: env
	$(BIN)/python -m pytest $(FAST) $(PYTEST_FLAGS)

check: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: env
	$(BIN)/python -m engine.bench

clean:
	rm -rf build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
