# `make demo` and `make test` set everything up by themselves; Python 3.11 or newer, make and git are all they need.

PYTHON ?= python3
SLICER ?= Slicer
SLICER_VERSION ?= 5.10
ENVIRONMENT := .venv
READY := $(ENVIRONMENT)/.ready
BIN := $(ENVIRONMENT)/bin
TOOLS := build/tools
MODULE_FOLDER := $(CURDIR)/LightRegistration

.DEFAULT_GOAL := help
.PHONY: help env demo test lint docs lock audit package slicer slicer-test clean

help:
	@echo 'make demo          register the built-in pair (or FIXED=... MOVING=...) and leave the result in demo/'
	@echo '                   optional: FIXED_SEGMENTATION=... MOVING_SEGMENTATION=... MODEL=...'
	@echo 'make test          run the whole test suite'
	@echo 'make lint          check style, types and the order of layers and rooms'
	@echo 'make docs          build the documents as web pages in build/docs; warnings are errors'
	@echo 'make env           make the environment in .venv alone'
	@echo '                   HASHES=1: accept only archives whose hashes are in requirements.lock (all packages but torch)'
	@echo 'make lock          renew requirements.lock after a change of requirements.txt (needs a network)'
	@echo 'make audit         look for known vulnerabilities of the packages in requirements.txt (needs a network)'
	@echo 'make package       install the extension into the empty folder build/package/Slicer and pack it (needs CMake, a compiler)'
	@echo '                   SLICER_VERSION=5.10: in the names of folders'
	@echo 'make slicer        open 3D Slicer with the module: SLICER=<path to the Slicer launcher>'
	@echo 'make slicer-test   run the self-test in 3D Slicer: SLICER=<path to the Slicer launcher>'
	@echo 'make clean         remove the environment, the demo and all caches'

env: $(READY)

$(READY): requirements.txt requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'Python 3.11 or newer is needed; name one, for example: make $(MAKECMDGOALS) PYTHON=python3.12' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(ENVIRONMENT)
	$(if $(HASHES),$(BIN)/python -m pip install --disable-pip-version-check --no-deps --require-hashes --requirement requirements.lock)
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.txt
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m pip check --disable-pip-version-check
	@touch $@

demo: $(READY)
	@$(BIN)/light-registration demo --output demo --force \
	  $(if $(FIXED),--fixed "$(FIXED)") $(if $(MOVING),--moving "$(MOVING)") \
	  $(if $(FIXED_SEGMENTATION),--fixed-segmentation "$(FIXED_SEGMENTATION)") \
	  $(if $(MOVING_SEGMENTATION),--moving-segmentation "$(MOVING_SEGMENTATION)") \
	  $(if $(MODEL),--model "$(MODEL)")

test: $(READY)
	$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(PYTEST_ARGUMENTS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/python -m sphinx --builder html --fail-on-warning --keep-going --nitpicky --fresh-env --quiet docs build/docs
	@echo 'The documents are in build/docs/index.html'

lock:
	$(TOOLS)/bin/python -V >/dev/null 2>&1 || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet uv
	grep -v '^torch==' requirements.txt > $(TOOLS)/requirements.in
	grep '^#' requirements.lock > $(TOOLS)/requirements.lock
	$(TOOLS)/bin/uv pip compile $(TOOLS)/requirements.in --no-deps --generate-hashes --universal --no-header --no-annotate \
	  --python-version 3.11.7 --quiet >> $(TOOLS)/requirements.lock
	mv $(TOOLS)/requirements.lock requirements.lock

audit:
	$(TOOLS)/bin/python -V >/dev/null 2>&1 || $(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/python -m pip install --disable-pip-version-check --quiet pip-audit
	$(TOOLS)/bin/pip-audit --requirement requirements.txt --no-deps --disable-pip

package:
	rm -rf build/package
	cmake -S . -B build/package/build -DSlicer_DIR="$(CURDIR)/Testing/Package" -DSlicer_VERSION=$(SLICER_VERSION) \
	  -DBUILD_TESTING=OFF
	cmake --install build/package/build --prefix build/package/Slicer
	cd build/package/build && cpack -B ..

slicer:
	"$(SLICER)" --additional-module-paths "$(MODULE_FOLDER)"

slicer-test:
	"$(SLICER)" --testing --no-splash --additional-module-paths "$(MODULE_FOLDER)" \
	  --python-script "$(CURDIR)/Testing/slicer_self_test.py"

clean:
	rm -rf $(ENVIRONMENT) demo build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	rm -rf LightRegistration/*.egg-info
	find LightRegistration Testing -name __pycache__ -type d -prune -exec rm -rf {} +
