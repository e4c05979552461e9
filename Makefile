# Two commands for everybody: `make serve` and `make test`. `make help` lists the rest.

# `make prove SQLALCHEMY=2.0.58` and `make prove PYTHON3=python3.13` have environments of their own,
# beside the locked one.
SQLALCHEMY ?=
PYTHON3 ?= python3
VENV := .venv$(addprefix -,$(SQLALCHEMY))$(addprefix -,$(filter-out python3,$(notdir $(PYTHON3))))
PYTHON := $(VENV)/bin/python
export NO_MKDOCS_2_WARNING := 1
# Where it is set, each of a thousand processes compiles all packages anew.
export PYTHONDONTWRITEBYTECODE :=

# What `make help` says of a target stands behind its ##.
.PHONY: help serve test build check format prove update agree run older bench speed lock clean

help: ## Lists these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

serve: $(VENV)/ready ## Proves changed snippets, serves both languages with live reload; PORT=8001 for another port
	@$(PYTHON) -m tools serve

test: $(VENV)/ready ## Runs all tests, those in a browser included
	@$(PYTHON) -m pytest

build: $(VENV)/ready ## Builds the site, strict, into site/
	@$(PYTHON) -m tools prepare
	@$(PYTHON) -m mkdocs --quiet build --strict --site-dir .cache/site
	@rm -rf site && mv .cache/site site

check: $(VENV)/ready ## Checks all rules, without a database
	@$(PYTHON) -m pytest tests/rules

format: $(VENV)/ready ## Formats tools, tests and the scripts for readers
	@$(VENV)/bin/ruff format tools tests $$($(PYTHON) -c 'from tools.paths import READER_SCRIPTS; print(*READER_SCRIPTS)')

prove: $(VENV)/ready ## Runs all snippets and claims; SQLALCHEMY=2.0.58 or PYTHON3=python3.13 for others
	@$(PYTHON) -m pytest --ignore=tests/rules --ignore=tests/site --ignore=tests/tools $(if $(ONLY),-k "$(ONLY)")

update: $(VENV)/ready ## Writes what a run prints behind #>, in changed snippets or in SNIPPET=...
	@$(PYTHON) -m tools update $(SNIPPET)

agree: $(VENV)/ready ## Records that both languages agree as they stand
	@$(PYTHON) -m tools agree

run: $(VENV)/ready ## Runs one snippet as a reader does: SNIPPET=...
	@$(PYTHON) -m tools run "$(SNIPPET)"

older: $(VENV)/ready ## Writes the records of older FastAPI anew; needs the network
	@$(PYTHON) -m tools older

bench: $(VENV)/ready ## Measures what the charts show; four minutes on a quiet machine
	@$(PYTHON) -m tools bench

speed: $(VENV)/ready ## Measures how long a newcomer and a writer wait
	@$(PYTHON) -m tools speed

lock: $(VENV)/ready ## Brings requirements.lock up to date; UPGRADE=1 takes the newest of all
	@$(VENV)/bin/uv pip compile --quiet $(if $(UPGRADE),--upgrade) --universal --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    --group postgres --group prove --group site --group test --group install --group production \
	    --output-file requirements.lock pyproject.toml

clean: ## Deletes what was installed, built and kept
	rm -rf .venv .venv-* .cache site .mypy_cache .ruff_cache

# pip installs uv as locked, then uv the rest: a fifth of the time. uv does not read pip's
# configuration, so a mirror that is set there is handed on.
$(VENV)/ready: requirements.lock
	@echo "Installing into $(VENV)"
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON3) is older than 3.11: put a newer one first in PATH")'
	@$(PYTHON3) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/# via/p' requirements.lock > $(VENV)/uv.lock
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock \
	    2> $(VENV)/pip.log || { grep -q "No matching distribution" $(VENV)/pip.log \
	    && echo "No package index answers: name one that does, make PIP_INDEX_URL=https://mirror/simple" >&2 \
	    || cat $(VENV)/pip.log >&2; exit 1; }
	@index="$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null)}"; \
	    if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	    $(VENV)/bin/uv pip install --quiet --python $(PYTHON) --require-hashes -r requirements.lock \
	    $(if $(SQLALCHEMY),&& $(VENV)/bin/uv pip install --quiet --python $(PYTHON) "sqlalchemy[asyncio]==$(SQLALCHEMY)")
	@touch $@
