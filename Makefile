# Each target works alone on a machine that has Python 3.11 or later, its venv module and pip:
# it makes the virtual environment, installs what it needs under constraints.txt, and runs.

PYTHON ?= $(shell for p in python3.11 python3; do $(RECENT) && { echo $$p; break; }; done)
VENV ?= .venv
OUTDIR ?= demo_products
DIST ?= dist
PYTEST_ARGS ?=

RECENT = "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PIP = "$(VENV)/bin/python" -m pip --disable-pip-version-check -qq
# A virtual environment holds its own path; one that was copied or moved with the tree is made anew.
MADE_HERE = "$(CURDIR) $(VENV)"
COMMA = ,
CASA_VENV ?= .venv-casa
CORE = $(VENV)/.installed-core
TEST = $(VENV)/.installed-test
CASA = $(VENV)/.installed-casa

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help venv demo test format-check lint imports typecheck unit casa casa-tests wheel clean moved

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

venv: $(TEST)  ## virtual environment with everything the tests need

demo: $(CORE)  ## analyse a simulated spectrum and ion; products in OUTDIR (demo_products)
	"$(VENV)/bin/spectuner" demo --outdir "$(OUTDIR)"

test: format-check lint imports typecheck unit  ## the five checks below, in this order

format-check: $(TEST)  ## layout of the source
	"$(VENV)/bin/ruff" format --check

lint: $(TEST)  ## style and likely errors
	"$(VENV)/bin/ruff" check

imports: $(TEST)  ## layers: what may import what
	"$(VENV)/bin/lint-imports"

typecheck: $(TEST)  ## static types
	"$(VENV)/bin/mypy"

unit: $(TEST)  ## unit tests; PYTEST_ARGS="tests/lte -k slab" selects some
	"$(VENV)/bin/pytest" $(PYTEST_ARGS)

casa:  ## tests with the real CASA, in an environment of its own (.venv-casa, Python 3.11)
	@$(MAKE) VENV="$(CASA_VENV)" casa-tests

casa-tests: $(CASA)
	SPECTUNER_CASA=1 "$(VENV)/bin/pytest" tests/casa $(PYTEST_ARGS)

wheel: $(CORE)  ## build the wheel into DIST (dist)
	$(PIP) wheel --no-deps --wheel-dir "$(DIST)" .

clean:  ## remove the environment, caches and products
	rm -rf "$(VENV)" "$(CASA_VENV)" build dist demo_products .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

ifneq ("$(shell cat "$(VENV)/.made-in" 2>/dev/null)",$(MADE_HERE))
$(VENV)/.made-in: moved
endif
$(VENV)/.made-in:
	@p="$(PYTHON)"; test -n "$$p" && $(RECENT) || { \
	  echo "Python 3.11 or later is needed, but PYTHON is '$$p' and $$("$$p" --version 2>&1 | head -n 1);" \
	       "name one with: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	"$(PYTHON)" -m venv $$(test -e "$@" && echo --clear) "$(VENV)"
	@echo $(MADE_HERE) > "$(VENV)/.made-in"

# torch comes first, so that a build for the CPU that is at hand is taken and then kept.
define install
	@echo "installing spectuner-ext$(1) into $(VENV): some minutes the first time"
	$(PIP) install --constraint constraints.txt torch
	$(PIP) install --constraint constraints.txt --editable ".$(1)"
endef

$(CORE): $(VENV)/.made-in pyproject.toml constraints.txt
	$(call install)
	@touch "$(CORE)"

$(TEST): $(VENV)/.made-in pyproject.toml constraints.txt
	$(call install,[test$(COMMA)catalogues])
	@touch "$(CORE)" "$(TEST)"

$(CASA): $(VENV)/.made-in pyproject.toml constraints.txt
	$(call install,[test$(COMMA)casa])
	@touch "$(CORE)" "$(CASA)"
