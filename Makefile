# Every command of the project. `make` alone explains them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# Names here are relative on purpose: make splits absolute ones where the path has a space.
BIN := .venv/bin
PYTHON := $(BIN)/python
FIRN := $(BIN)/firn
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed
SNOW := .venv-snow/.installed

# uv from the machine if it works there, else one of our own, installed by pip.
UV_VERSION := 0.13.8
UV := $(if $(shell uv --version 2>/dev/null),uv,.firn/bootstrap/bin/uv)

# What pip was told of indexes and certificates holds for uv too.
ifdef PIP_INDEX_URL
export UV_DEFAULT_INDEX ?= $(PIP_INDEX_URL)
endif
ifdef PIP_EXTRA_INDEX_URL
export UV_INDEX ?= $(PIP_EXTRA_INDEX_URL)
endif
ifdef PIP_CERT
export SSL_CERT_FILE ?= $(PIP_CERT)
endif

# Extra arguments for pytest, for example: make test PYTEST_ARGS="tests/unit -k settings"
PYTEST_ARGS ?=
# And for one benchmark, for example: make bench BENCH_ARGS="loading --rows 100000 --repeat 1"
BENCH_ARGS ?=
# How many tests run at a time; each worker has a local warehouse of its own.
PYTEST_WORKERS ?= auto

# The seed of a campaign; a new one each time unless it is given.
SEED ?= $(shell date +%s)

# The workbook to report on, and further options of the command, such as --strict.
export FILE ?=
WORKBOOK_ARGS ?=
# And for the report, for example: make report REPORT_ARGS="--no-docs --output /srv/firn"
REPORT_ARGS ?=
# And for deployments, for example: make deploy DEPLOY_ARGS="--accept mart_orders"
DEPLOY_ARGS ?=
# And for the rehearsal of a pull request, for example: make ci CI_ARGS="--domain forex --keep"
CI_ARGS ?=

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# Run

.PHONY: demo
demo: $(RUNTIME) ## Run the pipelines end to end on this machine and show what they made
	@$(FIRN) demo

.PHONY: up
up: $(RUNTIME) ## Start the local warehouse and Airflow, print addresses and login
	@$(FIRN) up

.PHONY: down
down: $(RUNTIME) ## Stop exactly what `make up` started
	@$(FIRN) down

.PHONY: doctor
doctor: $(RUNTIME) ## Say what is configured, what is missing and what to set
	@$(FIRN) doctor

.PHONY: report
report: $(RUNTIME) ## Write the state of every pipeline as pages that open from disk
	@$(FIRN) report $(REPORT_ARGS)

.PHONY: deploy
deploy: $(RUNTIME) ## Build the commit beside production, test it, swap; DEPLOY_ARGS="--help" for more
	@$(FIRN) deploy $(DEPLOY_ARGS)

.PHONY: rollback
rollback: $(RUNTIME) ## Let production be what it was before the last deployment
	@$(FIRN) rollback $(DEPLOY_ARGS)

.PHONY: workbook
workbook: $(RUNTIME) ## Report on a workbook of purchases and spins: make workbook FILE=path.xlsx
	@$(FIRN) workbook $(if $(FILE),"$$FILE") $(WORKBOOK_ARGS)

.PHONY: bench
bench: $(DEV) ## Measure everything beside references, write benchmarks/README.md; takes about 20 minutes
	@$(PYTHON) -m benchmarks $(or $(BENCH_ARGS),all)

# Check

.PHONY: ci
ci: $(RUNTIME) ## Do on this machine what happens to a pull request, and print its comment
	@$(FIRN) ci rehearse $(CI_ARGS)

.PHONY: test
test: $(DEV) $(SNOW) ## Lint, then run every test
	@$(MAKE) lint
	@$(PYTHON) -m pytest --numprocesses $(PYTEST_WORKERS) --dist loadscope --no-loadscope-reorder \
		$(PYTEST_ARGS)

.PHONY: check
check: $(DEV) ## Lint, then run the tests of units and of DAGs: minutes instead of half an hour
	@$(MAKE) test PYTEST_ARGS="tests/unit tests/dags $(PYTEST_ARGS)"

.PHONY: campaign
campaign: $(DEV) ## Search for faults at length: make campaign SEED=42 repeats a search
	@FIRN_TEST_CAMPAIGN=$(SEED) $(PYTHON) -m pytest --numprocesses $(PYTEST_WORKERS) --dist worksteal \
		-m campaign $(PYTEST_ARGS)

.PHONY: lint
lint: $(DEV) ## Check Python (ruff, mypy), SQL (sqlfluff), workflows; nothing is changed
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/sqlfluff lint dbt
	@$(BIN)/actionlint
	@$(BIN)/zizmor --offline --quiet .github/workflows

.PHONY: audit
audit: $(DEV) ## Look for secrets in files, odd licences and known vulnerabilities in the locks
	@git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --no-verify --baseline .secrets.baseline
	@$(PYTHON) -m supply_chain licences
	@$(PYTHON) -m supply_chain vulnerabilities

.PHONY: sbom
sbom: $(DEV) ## Write the image's bill of materials (CycloneDX) to .firn/sbom.json
	@$(PYTHON) -m supply_chain sbom .firn/sbom.json

.PHONY: format
format: $(DEV) ## Rewrite Python and SQL in the project's style
	@$(PYTHON) -m ruff check --fix-only .
	@$(PYTHON) -m ruff format .
	@$(BIN)/sqlfluff fix dbt

# Maintain

LOCK = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock"

.PHONY: lock
lock: | $(filter-out uv,$(UV)) ## Resolve requirements*.in into .txt; UPGRADE=--upgrade for newer versions
	@$(LOCK) $(UPGRADE) requirements.in -o requirements.txt
	@$(LOCK) $(UPGRADE) requirements-image.in -o requirements-image.txt
	@$(LOCK) $(UPGRADE) requirements-dev.in -o requirements-dev.txt
	@$(LOCK) $(UPGRADE) requirements-snow.in -o requirements-snow.txt

.PHONY: clean
clean: ## Remove everything generated: environments, data, logs, caches
	@for file in .firn/run/*.pid; do \
		pid=$$(grep -oE '[0-9]+' "$$file" 2>/dev/null | head -n 1 || true); \
		if [ -n "$$pid" ] && kill -0 "$$pid" 2>/dev/null; then \
			echo "Not cleaned: process $$pid of $$file still runs and would lose its files." \
				"Run 'make down' and '$(FIRN) warehouse stop' first." >&2; \
			exit 2; \
		fi; \
	done
	@rm -rf .venv .venv-snow .firn .mypy_cache .pytest_cache .ruff_cache .hypothesis \
		dbt/target dbt/logs dbt/dbt_packages
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Environments. A stamp stands for an installed lock: no stamp is older than its lock, so a second
# make installs nothing.

.firn/bootstrap/bin/uv:
	@$(find-python); \
	"$$python" -m venv .firn/bootstrap || { \
		echo "Python at $$python cannot make virtual environments:" \
			"install its venv module (on Debian and Ubuntu: python3-venv)." >&2; \
		exit 2; \
	}; \
	.firn/bootstrap/bin/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

$(PYTHON): | $(filter-out uv,$(UV))
	@$(UV) venv --quiet --allow-existing --python 3.11 .venv || { \
		echo "Firn needs Python 3.11, and uv has none: install Python 3.11, then run make again." >&2; \
		exit 2; \
	}

$(RUNTIME): requirements.txt | $(PYTHON)
	@echo "Installing the runtime environment into .venv"
	@$(UV) pip install --quiet --python $(PYTHON) --requirements requirements.txt
	@$(install-firn)
	@touch $@

# The development lock holds the runtime one, so both stamps are good afterwards.
$(DEV): requirements-dev.txt requirements.txt | $(PYTHON)
	@echo "Installing the development environment into .venv"
	@$(UV) pip sync --quiet --python $(PYTHON) requirements-dev.txt
	@$(install-firn)
	@touch $(RUNTIME) $@

$(SNOW): requirements-snow.txt | $(PYTHON)
	@echo "Installing the snow command into .venv-snow"
	@$(UV) venv --quiet --allow-existing --python $(PYTHON) .venv-snow
	@$(UV) pip sync --quiet --python .venv-snow/bin/python requirements-snow.txt
	@touch $@

# The command `firn`, and the project where Python looks for it from any folder.
define install-firn
install -m 755 include/commands/firn.sh $(FIRN); \
pwd > "$$($(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/firn.pth"
endef

# Sets $python to the first interpreter that is 3.11, whatever the machine calls it. The locks are
# resolved for 3.11 alone. Where there is a uv it looks for itself, and fetches one if need be.
define find-python
python=""; \
for name in python3.11 python3 python; do \
	if "$$name" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then \
		python=$$(command -v "$$name"); break; \
	fi; \
done; \
if [ -z "$$python" ]; then \
	echo "Firn needs Python 3.11, found $$(python3 --version 2>/dev/null || echo none):" \
		"install Python 3.11 and have python3.11 on the PATH, then run make again." >&2; \
	exit 2; \
fi
endef
