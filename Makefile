# Two commands on a fresh machine: `make demo` and `make test`.
# Each makes .venv first if it is absent and re-uses it afterwards.

# The interpreter that .venv is made with, 3.10 or newer.
PYTHON ?= python3
# Where `make demo` writes; what `make board` shows.
RESULTS ?= results/demo
# A folder with manifests of real speech, in place of synthesised speech.
DATA ?=
# More words for what a target runs, such as ARGS=--debug of demo and
# bench-optimizers (whether it runs, in two minutes), ARGS=--smoke of bench and
# bench-nmf.
ARGS ?=
# Processes of `make test`: one for each core. Each test computes on one.
JOBS ?= auto
# The port of `make board`.
PORT ?= 6006

VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.stamp
RIVALS := $(VENV)/.rivals
DEMO := recipes/MultilingualPrompts/ASR/CTC/demo.py
TREES := plugins recipes tests

# One sentence in place of a failing pip.
define CHECK_PYTHON
{ $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	echo "error: LeanBrain needs Python >= 3.10, got \
`$(PYTHON) --version 2>&1`; \
name another one: make PYTHON=<interpreter> $(MAKECMDGOALS)" >&2; false; }; } \
&& { $(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	echo "error: $(PYTHON) has no venv module; on Debian and Ubuntu \
install the package python3-venv" >&2; false; }; }
endef

.DEFAULT_GOAL := help
.PHONY: help venv demo board test commands unit check lint types doctest format bench \
	bench-nmf bench-optimizers host-tests slurm clean

help: ## list the targets
	@echo "make <target>, where <target> is one of:"
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' $(firstword $(MAKEFILE_LIST)) \
		| awk -F'|' '{ printf "  %-16s %s\n", $$1, $$2 }'
	@echo "settings: PYTHON=$(PYTHON) RESULTS=$(RESULTS) DATA=$(DATA) PORT=$(PORT)"

venv: $(STAMP) ## make .venv and install everything (about 5 GB, once)

# Installs again only when setup.py has changed.
$(STAMP): setup.py
	@$(PY) -m pip --version >/dev/null 2>&1 || { $(CHECK_PYTHON) \
		&& $(PYTHON) -m venv --clear $(VENV); }
	$(PY) -m pip install --disable-pip-version-check -e ".[demo,dev]"
	@touch $@

demo: $(STAMP) ## train, prune and compare on synthesised speech; DATA=<folder> for real speech
	$(PY) $(DEMO) --results_folder "$(RESULTS)" \
		$(if $(DATA),--data_folder "$(DATA)") $(ARGS)

board: $(STAMP) ## show all results in TensorBoard
	@echo "TensorBoard: http://localhost:$(PORT)/#custom_scalars (stop it with Ctrl-C)"
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] || [ "$$(uname)" = Darwin ]; then \
		(sleep 8; $(PY) -m webbrowser "http://localhost:$(PORT)") \
			>/dev/null 2>&1 & fi
	@$(PY) -m tensorboard.main --logdir results --port $(PORT)

test: $(STAMP) ## run all tests; fails below 90 % coverage of plugins/leanbrain
	$(PY) -m pytest -m "not command" -n $(JOBS) --dist loadfile \
		--cov --cov-report=term

commands: $(RIVALS) ## run every command of the README and the docs, in a short form
	$(PY) -m pytest tests/commands -m command -n $(JOBS) --dist loadgroup

unit: $(STAMP) ## run the fast tests only
	$(PY) -m pytest tests/unittests -m "not slow"

check: lint types doctest test ## all that is checked before a change is accepted

lint: $(STAMP) ## style, YAML, spelling
	$(PY) -m ruff check setup.py $(TREES)
	$(PY) -m ruff format --check setup.py $(TREES)
	$(PY) -m yamllint --strict .
	$(PY) -m codespell_lib

types: $(STAMP) ## types of the package
	$(PY) -m mypy plugins/leanbrain

doctest: $(STAMP) ## the examples in the docstrings
	$(PY) -m pytest --doctest-modules plugins/leanbrain

format: $(STAMP) ## mend what `make lint` can mend by itself
	$(PY) -m ruff check --fix setup.py $(TREES)
	$(PY) -m ruff format setup.py $(TREES)

bench: $(RIVALS) ## measure speed, memory and accuracy (long)
	$(PY) tests/benchmarks/run_all.py $(ARGS)

$(RIVALS): $(STAMP)
	$(PY) -m pip install --disable-pip-version-check -e ".[bench]"
	@touch $@

bench-nmf: $(RIVALS) ## NMF against scikit-learn and torchnmf (about an hour, one core)
	$(PY) tests/benchmarks/bench_nmf.py \
		--json tests/benchmarks/results/nmf.json $(ARGS)
	$(PY) tests/benchmarks/bench_nmf_denoise.py \
		--json tests/benchmarks/results/nmf_denoise.json $(ARGS)
	$(PY) tests/benchmarks/nmf_page.py

bench-optimizers: $(STAMP) ## which optimizer trains small speech models first (minutes); DATA=<folder> for real speech
	$(PY) -m leanbrain bench-optimizers \
		recipes/OptimizerBenchmark/suites/cpu.yaml \
		$(if $(DATA),--data_folder "$(DATA)") $(ARGS)

host-tests: $(STAMP) ## SpeechBrain's own tests on our code (half an hour); SPEECHBRAIN_REPO=<clone>
	PYTHON="$(CURDIR)/$(PY)" tests/host/run_host_tests.sh $(ARGS)

slurm: ## install SLURM for its tests (Debian, as root); says why where it cannot
	tests/slurm/install.sh

clean: ## remove caches and builds; leaves .venv and results
	rm -rf build dist plugins/*.egg-info .coverage htmlcov
	rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find $(TREES) -name __pycache__ -type d -prune -exec rm -rf {} +
