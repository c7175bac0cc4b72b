# Every target sets up what it needs by itself: a virtual environment in .venv, made anew when pyproject.toml changes.
#
#   make demo     two nodes on this machine, a planned switch, a power cut (no root, under a minute)
#   make test     ruff, mypy, pytest
#   make bench    the performance bounds, measured with real daemons; fails when one is broken
#   make sim      simulated clusters that try to break the ownership rules (SEEDS=1..1000 JOBS=1)
#   make hosts    machines of namespaces whose network, power and daemons fail again and again (root; TRIES=50)
#   make stacks   the examples of configs/: PostgreSQL and others, switched, killed, without power (root; TRIES=20)
#   make lint     ruff and mypy alone
#   make format   ruff format, and what ruff can repair
#   make clean    remove what the above made

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet

.PHONY: demo test bench hosts stacks sim sim-mutants lint format clean
.DEFAULT_GOAL := test

$(VENV)/.runtime: pyproject.toml .ci/venv
	@.ci/venv $(VENV) $(PYTHON)
	$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(VENV)/.runtime
	@$(BIN)/failoverd demo $(ARGS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	@.ci/packages
	$(if $(ARGS),$(BIN)/python -m pytest $(ARGS),@.ci/tests $(BIN)/python)

bench: $(VENV)/.dev
	@$(BIN)/python -m tests.bench $(ARGS)

hosts: $(VENV)/.dev
	@.ci/packages
	@$(BIN)/python -m tests.hosts --tries $(or $(TRIES),50) $(ARGS)

stacks: $(VENV)/.dev
	@.ci/packages
	@$(BIN)/python -m tests.hosts --stacks --tries $(or $(TRIES),20) $(ARGS)

sim: $(VENV)/.dev
	@$(BIN)/python -m tests.sim SEEDS=$(or $(SEEDS),1..1000) JOBS=$(or $(JOBS),1)

sim-mutants: $(VENV)/.dev
	@$(BIN)/python -m tests.sim.mutants

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
