# The commands of this project. They need Python 3.11 or newer and make; everything else is installed into .venv.
# `make help` lists them. ARGS= is passed through, for example: make test ARGS="tests/metering -k quota"

.DEFAULT_GOAL := help
.PHONY: help run test verify check format shell manage lock audit clean

# The first Python on PATH that is new enough. Another one: make run PYTHON=/path/to/python3.12
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& command -v $$p && break; done)
BIN := .venv/bin
# Tests share the machine with PostgreSQL, Redis and a browser, so two processes are enough on any machine.
WORKERS ?= 2
# A file stays with one process; in the order of tests/conftest.py, not the files with the most tests first
BALANCED := --dist loadfile --no-loadscope-reorder
CODE := superagent accounts metering billing licensing
ARGS ?=
# Of the installation that `make run` makes, commands see what its pages see; a server's own settings stay as they are.
AS_RUN = $(if $(wildcard .env)$(DATABASE_URL)$(DEBUG),,DEBUG=true)

export PYTHONUNBUFFERED := 1
export DJANGO_SETTINGS_MODULE := superagent.settings
# Without DATABASE_URL and REDIS_URL, these commands start a PostgreSQL and a Redis of their own
export LOCAL ?= true

define need_python
	@test -n "$(PYTHON)" || { echo "set-up stopped: Python 3.11 or newer is needed and none is on PATH." \
	"Install one, or name it: make $@ PYTHON=/path/to/python3.11" >&2; exit 1; }
endef

help: ## Show this list
	@echo "SuperAgent: the commands"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | while IFS='|' read -r name text; do \
	printf '%-16s %s\n' "$$name" "$$text"; done
	@echo "  Settings: PORT=8000 SANDBOX_PORT=8100 DATA_DIR=.data/ change where \`make run\` runs; ARGS= is passed on."

run: ## Set up and start everything; ends with a line `ready: http://127.0.0.1:8000`
	$(need_python)
	@$(PYTHON) bootstrap.py run
	@exec $(BIN)/python manage.py dev $(ARGS)

test: ## Run all tests but the long ones, browser tests included
	$(need_python)
	@$(PYTHON) bootstrap.py dev --browser
	@$(BIN)/python -m pytest -n $(WORKERS) $(BALANCED) -m "not verify" $(ARGS)

verify: ## Run the tests and the long ones as well: kills, crawls, load, Lighthouse
	$(need_python)
	@$(PYTHON) bootstrap.py dev --browser --pooler --lighthouse
	@$(BIN)/python -m pytest -n $(WORKERS) $(BALANCED) -m "not verify" $(ARGS) && \
	$(BIN)/python -m pytest -n 0 -m verify $(ARGS)

check: ## Check style, types, migrations, the structure of the code and the templates
	$(need_python)
	@$(PYTHON) bootstrap.py dev
	@$(BIN)/python .ci/checks.py $(ARGS)

format: ## Format the code and apply the linter's safe corrections
	$(need_python)
	@$(PYTHON) bootstrap.py dev
	@$(BIN)/ruff check --fix-only --quiet . ; $(BIN)/ruff format . ; $(BIN)/python .ci/css.py --write

shell: ## A Python shell on the running installation's data
	$(need_python)
	@$(PYTHON) bootstrap.py run
	@$(AS_RUN) $(BIN)/python manage.py shell $(ARGS)

manage: ## Any management command: make manage ARGS="migrate --plan"
	$(need_python)
	@$(PYTHON) bootstrap.py run
	@$(AS_RUN) $(BIN)/python manage.py $(ARGS)

lock: ## Write constraints.txt anew from requirements-dev.txt
	$(need_python)
	@$(PYTHON) bootstrap.py lock

audit: ## Scan our code and our dependencies for known security problems
	$(need_python)
	@$(PYTHON) bootstrap.py dev
	@$(BIN)/bandit -q -ll -c pyproject.toml -r $(CODE)
	@$(BIN)/pip-audit --strict --disable-pip --no-deps -r constraints.txt

clean: ## Stop embedded services and delete .venv, caches and the data of `make run`
	@if [ -x $(BIN)/python ] && [ -d "$${DATA_DIR:-.data}" ]; then \
	$(BIN)/python -m superagent.local.embedded stop "$${DATA_DIR:-.data}" >/dev/null 2>&1 || true; fi
	@rm -rf .venv "$${DATA_DIR:-.data}" staticfiles .pytest_cache .mypy_cache .ruff_cache .import_linter_cache \
	.hypothesis .coverage htmlcov test-results .bootstrap.lock
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "clean"
