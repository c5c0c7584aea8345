# Each target creates the .venv that it needs. Packages are installed again only if our dependencies change.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SBOM := sbom.json
# Unset it: if the environment sets it, each new process compiles the whole program again.
export PYTHONDONTWRITEBYTECODE :=
# The extras that images and `make demo` install. `dev` has all extras, and its pins are in requirements.txt.
EXTRAS := flower up demo otel
UPGRADE ?= --upgrade

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench chaos test-docker lock sbom clean

help: ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Run the whole system with sample jobs; Ctrl-C ends it
	@$(BIN)/cron-tasks up --demo

test: $(VENV)/.dev $(VENV)/.debian ## Run the tests
	@tests/install_chromium
	@$(BIN)/pytest -n 6 --dist worksteal

lint: $(VENV)/.dev ## Check style, types and import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure speed and memory; BENCH="storm latency" for some
	@$(BIN)/python -m bench $(BENCH)

chaos: $(VENV)/.dev ## Break a running system on purpose and check every promise; CHAOS="--minutes 60"
	@$(BIN)/python -m chaos $(CHAOS)

test-docker: $(VENV)/.dev $(VENV)/.debian ## Build the containers, run them, break them (needs a Docker engine)
	@tests/docker/engine $(BIN)/pytest tests/docker

# `requirements/build.txt` has the packages that build a wheel or an editable installation.
# Each extra has a separate file, because pip accepts hashes from a file only if it installs all of it.
# All files are constrained by requirements.txt, which has every extra.
lock: ## Pin the newest versions with hashes; UPGRADE= keeps those that are pinned
	@command -v uv >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	@set -- uv pip compile --quiet --universal --python-version 3.11 --no-annotate --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"; \
	"$$@" $(UPGRADE) --all-extras pyproject.toml --output-file requirements.txt && \
	set -- "$$@" --constraint requirements.txt && \
	"$$@" pyproject.toml --output-file requirements/runtime.txt && \
	printf 'editables\nhatchling\n' | "$$@" - --output-file requirements/build.txt && \
	for extra in $(EXTRAS); do \
	    "$$@" --extra $$extra pyproject.toml --output-file requirements/$$extra.txt || exit; done

sbom: $(VENV)/.dev ## Write sbom.json, a CycloneDX list of all pinned packages
	@$(BIN)/python -W ignore -m cyclonedx_py requirements --pyproject pyproject.toml \
	    --output-reproducible --output-format JSON --output-file $(SBOM) requirements.txt

clean: ## Delete everything that make has created
	@rm -rf $(VENV) dist sbom.json .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Programs that tests run and PyPI does not have. Without them, their tests are skipped with the reason.
$(VENV)/.debian: tests/debian/fetch | $(VENV)/.dev
	@tests/debian/fetch $(VENV)/debian && touch $@ || true

# The stamp of an extra. `dev` includes `demo`. A venv without pip is deleted and made again.
# uv is many times faster, but does not read the settings of pip. If it cannot install, pip does.
$(VENV)/.demo $(VENV)/.dev: $(VENV)/.%: pyproject.toml requirements.txt $(wildcard requirements/*.txt)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	    version=$$($(PYTHON) --version 2>&1 | grep -o "^Python [0-9.]*"); \
	    echo "cron-tasks needs Python 3.11 or newer, and $(PYTHON) is $${version:-not there}:" \
	        "name another one, such as make $(firstword $(MAKECMDGOALS)) PYTHON=python3.13" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 \
	    || $(PYTHON) -m venv --clear $(VENV) >/dev/null || { rm -rf $(VENV); \
	    echo "$(PYTHON) cannot make a virtual environment; on Debian and Ubuntu," \
	        "apt install python3-venv mends that" >&2; exit 1; }
	@echo "Installing cron-tasks[$*] into $(VENV)"
	@set -- --require-hashes -r requirements/build.txt \
	    -r $(if $(filter dev,$*),requirements.txt,requirements/$*.txt); \
	    uv pip install --quiet --python $(BIN)/python "$$@" 2>/dev/null \
	    || $(BIN)/python -m pip install -qq --disable-pip-version-check "$$@"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(VENV)/.demo $@
