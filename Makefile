# `make` and `make help` list the targets. Variables: PYTHON=python3.12, DEMO_OUT=DIR, PYTEST_ARGS="-k moments".
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
OLDEST := .venv-oldest
BIN := $(VENV)/bin
DEMO_OUT ?= isospan-demo
PYTEST_ARGS ?=
WORKERS ?= auto
SPHINX := $(BIN)/sphinx-build -q -W --keep-going -b html
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt
INSTALL_DEPENDS := pyproject.toml constraints.txt $(VENV)/.created

.DEFAULT_GOAL := help
.PHONY: help demo test lint types imports pytest coverage test-slow test-oldest examples docs docs-check bench format clean

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

# One thread: with two, training waits at every step for a core that is busy with something else.
demo: export OMP_NUM_THREADS ?= 1
demo: $(VENV)/.installed  ## install, train on the embedded fields and write the report (about 4 minutes)
	$(BIN)/isospan demo --out $(DEMO_OUT)
	@echo "The command is $(BIN)/isospan; 'source $(BIN)/activate' puts it on the path."

test: lint types imports docs-check pytest  ## install what the tests need; check style, types, imports, docs; run tests, doctests, examples

lint: $(VENV)/.installed-test  ## check style, formatting and spelling
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell

types: $(VENV)/.installed-test  ## check types, and that every public name has one
	$(BIN)/pyright --warnings
	PATH="$(abspath $(BIN)):$$PATH" pyright --verifytypes isospan --ignoreexternal

imports: $(VENV)/.installed-test  ## check that imports go one way
	$(BIN)/lint-imports

# One thread a worker: the workers already fill the cores.
pytest coverage test-slow test-oldest: export OMP_NUM_THREADS = 1
pytest coverage test-slow test-oldest examples: export MPLBACKEND = Agg

# Properties see few examples in every run and many in the slow one.
test-slow: export ISOSPAN_PROPERTIES = long

pytest: $(VENV)/.installed-test  ## run the tests, the doctests and the examples
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-test  ## run the tests that take longer than half a minute each
	$(BIN)/pytest -m slow $(PYTEST_ARGS)

# Warnings are those of old releases, on which examples end; these need more packages, too. The time of an import is
# that of today's. The compatibility tests need spacelearn, and so numpy 2.
test-oldest: $(OLDEST)/.installed  ## run the tests with the lowest release of each dependency that is allowed
	$(OLDEST)/bin/python -m pytest -W default --numprocesses $(WORKERS) --dist worksteal tests \
	    --ignore tests/compat --ignore tests/test_package.py --ignore tests/test_examples.py \
	    --ignore tests/test_import_time.py \
	    --ignore-glob '*/integrations/*lightning*' --ignore-glob '*/integrations/*transformers*' $(PYTEST_ARGS)

# Each worker measures, and pytest-cov combines; processes that the tests start are not measured.
coverage: $(VENV)/.installed-test  ## run the tests and print which lines they did not reach
	$(BIN)/pytest --numprocesses $(WORKERS) --dist worksteal --cov=isospan --cov-report=term-missing:skip-covered $(PYTEST_ARGS)

examples: $(VENV)/.installed-test  ## run the examples alone
	$(BIN)/pytest tests/test_examples.py $(PYTEST_ARGS)

docs: $(VENV)/.installed-test  ## build the documentation; a warning is an error
	$(SPHINX) docs docs/_build/html
	@echo "The documentation is $(abspath docs/_build/html/index.html)"

# Theme and listed sources take a quarter of the time and have no reference. Pages are read again only where their
# sources changed, and all are written, which finds the references; what a build that fails has read is removed, since
# its warnings would not come again.
docs-check: $(VENV)/.installed-test  ## check the documentation: every reference, and what the tests of the API pages read
	$(SPHINX) -a -D html_theme=basic -D extensions=sphinx.ext.autodoc,sphinx.ext.napoleon docs docs/_build/check \
	    || { rm -rf docs/_build/check; exit 1; }

bench: $(VENV)/.installed-test  ## time the library against its floors
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks

format: $(VENV)/.installed-test  ## format the sources and fix what ruff can fix
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove the environment, builds and caches
	rm -rf $(VENV) $(OLDEST) build dist docs/_build .pytest_cache .ruff_cache .import_linter_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "isospan needs Python 3.11 or newer, found " + sys.version.split()[0] + "; name another with make PYTHON=...")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "The lowest releases need Python 3.11, found " + sys.version.split()[0] + "; name it with make test-oldest PYTHON=python3.11")'
	@echo 'Installing the lowest releases into $(OLDEST): some minutes, and 6 GB, since old torch comes with CUDA'
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python -m pip install -qq --disable-pip-version-check --constraint constraints-oldest.txt \
	    --editable '.[fields]' distributed onnx onnxruntime onnxscript pandas pytest pytest-xdist scikit-learn hypothesis
	@touch $@

$(VENV)/.installed: $(INSTALL_DEPENDS)
	@echo 'Installing isospan[fields] into $(VENV), some minutes the first time'
	$(PIP_INSTALL) --editable '.[fields]'
	@touch $@

$(VENV)/.installed-test: $(INSTALL_DEPENDS)
	@echo 'Installing isospan[test] into $(VENV), some minutes the first time'
	$(PIP_INSTALL) --editable '.[test]'
	@touch $@ $(VENV)/.installed
