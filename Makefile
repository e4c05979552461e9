# Two commands for everybody: `make serve` and `make test`. The rest is named in CONTRIBUTING.md.

# `make prove SQLALCHEMY=2.0.58` and `make prove PYTHON3=python3.13` have environments of their own,
# beside the locked one.
SQLALCHEMY ?=
PYTHON3 ?= python3
VENV := .venv$(addprefix -,$(SQLALCHEMY))$(addprefix -,$(filter-out python3,$(notdir $(PYTHON3))))
PYTHON := $(VENV)/bin/python
export NO_MKDOCS_2_WARNING := 1

.PHONY: serve test build check prove update agree run older bench speed lock clean

serve: $(VENV)/ready
	@$(PYTHON) -m tools.serve

test: $(VENV)/ready
	@$(PYTHON) -m pytest

build: $(VENV)/ready
	@$(PYTHON) -m tools.prove
	@$(PYTHON) -m mkdocs --quiet build --strict --site-dir .cache/site
	@rm -rf site && mv .cache/site site

check: $(VENV)/ready
	@$(PYTHON) -m pytest tests/rules

prove: $(VENV)/ready
	@$(PYTHON) -m pytest --ignore=tests/rules --ignore=tests/site --ignore=tests/tools

update: $(VENV)/ready
	@$(PYTHON) -m tools.prove --update $(SNIPPET)

agree: $(VENV)/ready
	@$(PYTHON) -m tools.twins --agree

run: $(VENV)/ready
	@$(PYTHON) -m tools.run $(SNIPPET)

older: $(VENV)/ready
	@$(PYTHON) -m tools.older

bench: $(VENV)/ready
	@$(PYTHON) -m tools.bench

speed: $(VENV)/ready
	@$(PYTHON) -m tools.speed

lock: $(VENV)/ready
	@$(VENV)/bin/uv pip compile --quiet $(if $(UPGRADE),--upgrade) --universal --generate-hashes \
	    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	    --group postgres --group prove --group site --group test --group install \
	    --output-file requirements.lock pyproject.toml

clean:
	rm -rf .venv .venv-* .cache site .mypy_cache .ruff_cache .pytest_cache

# pip installs uv as locked, then uv the rest: a fifth of the time. uv does not read pip's
# configuration, so a mirror that is set there is handed on.
$(VENV)/ready: requirements.lock
	@echo "Installing into $(VENV)"
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "$(PYTHON3) is older than 3.11: put a newer one first in PATH")'
	@$(PYTHON3) -m venv --clear $(VENV)
	@sed -n '/^uv==/,/# via/p' requirements.lock > $(VENV)/uv.lock
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@index="$${PIP_INDEX_URL:-$$($(PYTHON) -m pip config get global.index-url 2>/dev/null)}"; \
	    if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
	    $(VENV)/bin/uv pip install --quiet --python $(PYTHON) --require-hashes -r requirements.lock \
	    $(if $(SQLALCHEMY),&& $(VENV)/bin/uv pip install --quiet --python $(PYTHON) "sqlalchemy[asyncio]==$(SQLALCHEMY)")
	@touch $@
