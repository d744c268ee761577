# One word per task; `make` alone lists them. A fresh machine needs Python 3.11 or later and make, no more.
#
#   make run PYTHON=python3.12       another interpreter (only while .venv does not exist yet)
#   make test ARGS="-k fetch -x"     ARGS goes to the program that the target runs

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
# Stamps: the environment is built again only when what it was built from has changed. The server's part
# is small, so that `make run` is quick; the tools of development are added by the first target that needs them.
SERVER := $(VENV)/.server-installed
DEV := $(VENV)/.dev-installed
PIP := $(BIN)/python -m pip --disable-pip-version-check

NATS_VERSION := 2.12.15
NATS := build/nats/nats-server

UV_VERSION := 0.13.9
LOCK := build/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command "make lock" $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help run test simulate simulate-cluster fuzz soak connections pauses timely tight nightly nats check lint format \
	types layers audit bench bench-quick bench-guard bench-libraries bench-page bench-backlog bench-scale \
	bench-dashboard bench-cluster golden binary docs docs-serve demo demo-cluster screenshots texts lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

run: $(SERVER) ## start the server with its data under ./data
	$(BIN)/lineshaft serve -d ./data $(ARGS)

# Two processes: most tests wait for a child or a socket, and a file's tests stay together (tests/conftest.py).
test: $(DEV) ## the everyday suite
	$(BIN)/pytest -m "not slow" -n 2 --dist loadgroup $(ARGS)

# SEED is one seed or a range; the first one that fails is played again with fewer steps and actors, and the smallest run
# that still fails is printed as a command. WITHOUT names actors, faults and kinds of jobs to leave out.
SEED ?= 1-200
STEPS ?= 400
WITHOUT ?=
simulate: $(DEV) ## the whole server on a simulated clock, network and disk: make simulate SEED=1-200 STEPS=400
	PYTHONPATH=tests $(BIN)/python -m simulation.run --seed "$(SEED)" --steps $(STEPS) --without "$(WITHOUT)" $(ARGS)

simulate-cluster: $(DEV) ## three nodes, their log and their clients, simulated: make simulate-cluster SEED=1-200
	PYTHONPATH=tests $(BIN)/python -m cluster.play.run --seed "$(SEED)" --steps $(STEPS) --without "$(WITHOUT)" $(ARGS)

# atheris is not among the tools of development, since it is built for Linux and some Pythons only.
TARGET ?= commands
SECONDS ?= 300
fuzz: $(DEV) $(VENV)/.fuzz-installed ## atheris on one target: make fuzz TARGET=commands SECONDS=300 (tests/fuzz/targets.py)
	PYTHONPATH=tests $(BIN)/python -m fuzz.run $(TARGET) $(SECONDS) $(ARGS)

$(VENV)/.fuzz-installed: requirements/fuzz.txt
	$(PIP) install --quiet --require-hashes -r requirements/fuzz.txt
	@touch $@

# An hour unless SOAK says otherwise, in seconds. The graph of the last one is docs/images/soak.svg.
SOAK ?= 3600
soak: $(DEV) ## a mixed load with every feature: are memory, files and latencies flat? make soak SOAK=600
	@mkdir -p build
	PYTHONPATH=tests $(BIN)/python -m load.soak --seconds $(SOAK) --json build/soak.json --svg build/soak.svg $(ARGS)

connections: $(DEV) ## ten thousand connections, storms, clients that never read: what they cost, whom they hold up
	PYTHONPATH=tests $(BIN)/python -m load.connections $(ARGS)

pauses: $(DEV) ## a million jobs due, cleared, removed, ... at once: how long others wait meanwhile
	PYTHONPATH=tests $(BIN)/python -m load.pauses $(ARGS)

timely: $(DEV) ## do scheduled jobs start at their time under load, while a million others wait?
	PYTHONPATH=tests:bench $(BIN)/python -m load.timely $(ARGS)

tight: $(DEV) ## a backlog of 2 GB in 256 MB of memory
	PYTHONPATH=tests $(BIN)/python -m load.tight $(ARGS)

# How long the nightly loops are; the figures of the last run stand in docs/reliability.md.
nightly: export LINESHAFT_KILLS ?= 1000
nightly: export LINESHAFT_EXAMPLES ?= 5000
nightly: export LINESHAFT_SEEDS ?= 10000
nightly: export LINESHAFT_POWER_CUTS ?= 300
nightly: export LINESHAFT_FUZZ ?= 20000
nightly: export LINESHAFT_CLUSTER_ROUNDS ?= 200
nightly: export LINESHAFT_CLUSTER_SEEDS ?= 5000
nightly: export LINESHAFT_SOAK_SECONDS ?= 3600
nightly: $(DEV) $(if $(shell command -v go),$(NATS)) ## the suite with its loops grown long: kills, power cuts, seeds, fuzzed inputs, a soak
	$(BIN)/pytest --timeout 14400 $(ARGS)

# Debian's nats-server is 2.9, which cannot sync each entry: the tests and the demo of the cluster take this one, too.
nats: $(NATS) ## build/nats/nats-server, a newer one than Debian's (needs Go)

$(NATS):
	GOBIN=$(CURDIR)/build/nats go install github.com/nats-io/nats-server/v2@v$(NATS_VERSION)

check: lint types layers ## lint, types and layers

lint: $(DEV) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(DEV) ## let ruff fix and format the sources
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(DEV) ## mypy --strict
	$(BIN)/mypy
	MYPYPATH=bench $(BIN)/mypy bench/run.py bench/page.py bench/backlog.py bench/dashboard.py bench/guard.py bench/scale.py

layers: $(DEV) ## import-linter: imports go downward only
	$(BIN)/lint-imports

# Not a part of `check`, since it asks a service about every dependency.
audit: $(DEV) $(VENV)/.audit-installed ## pip-audit: whether a locked dependency has a known vulnerability
	$(BIN)/python packaging/audit.py $(ARGS)

$(VENV)/.audit-installed: requirements/audit.txt
	$(PIP) install --quiet --require-hashes -r requirements/audit.txt
	@touch $@

# What is compared with is installed by these: apt install beanstalkd redis-server nodejs npm libssl-dev; make bench-libraries
bench: $(DEV) ## the server beside the speed reference, beanstalkd and job libraries (ARGS=--check: fail on a missed target)
	$(BIN)/python bench/run.py $(ARGS)

bench-quick: $(DEV) ## the same, short, beside the reference alone
	$(BIN)/python bench/run.py --quick $(ARGS)

bench-guard: $(DEV) ## instructions per command against what was recorded (needs valgrind; ARGS=--record)
	$(BIN)/python bench/guard.py $(ARGS)

bench-libraries: ## install the job libraries for Python and Node that `make bench` compares with
	$(PYTHON) -m venv build/libraries
	build/libraries/bin/pip --disable-pip-version-check install --quiet -r bench/libraries/requirements.txt
	cd bench/libraries && npm ci --ignore-scripts --no-fund --no-audit

bench-page: $(DEV) ## write docs/performance.md anew, from the last results of `make bench`
	$(BIN)/python bench/page.py $(ARGS)

bench-backlog: $(DEV) ## memory and start with a million enqueued jobs
	$(BIN)/python bench/backlog.py $(ARGS)

bench-scale: $(DEV) ## what a job costs as backlog, queues, workers and batches grow (needs 10 GB of disk; ARGS=--page)
	$(BIN)/python bench/scale.py $(ARGS)

bench-dashboard: $(DEV) ## the dashboard over a million jobs of each kind, ten times open
	$(BIN)/python bench/dashboard.py $(ARGS)

bench-cluster: $(DEV) ## a cluster beside a single server, and how long a takeover takes (needs nats-server)
	PYTHONPATH=tests $(BIN)/python bench/replicated.py $(ARGS)

golden: $(DEV) ## write the golden data of a format that is not released yet anew
	$(BIN)/python tests/golden/make.py

binary: $(DEV) ## dist/lineshaft, one file that needs no Python
	$(BIN)/python packaging/binary/build.py $(ARGS)

docs: $(DEV) ## the documentation's site, in build/site/site
	$(BIN)/python packaging/site/build.py $(ARGS)

docs-serve: $(DEV) ## the same on 127.0.0.1:8000, built again when a page changes
	$(BIN)/python packaging/site/build.py --serve $(ARGS)

demo: $(DEV) ## real work by workers in two languages
	$(BIN)/python demo/run.py $(ARGS)

# NATS_SERVER=build/nats/nats-server takes the one of `make nats`, which syncs each entry.
NATS_SERVER ?=
demo-cluster: $(DEV) ## three nodes on three servers of NATS, the leader killed again and again (needs nats-server)
	LINESHAFT_NATS_SERVER="$(NATS_SERVER)" PYTHONPATH=tests $(BIN)/python demo/kill_leader.py $(ARGS)

screenshots: $(DEV) ## take the pictures of every page (needs Chromium)
	PYTHONPATH=tests $(BIN)/python tests/browser/pictures.py $(ARGS)

texts: $(DEV) ## bring the catalogues of the pages' texts up to date
	@mkdir -p build
	cd src/lineshaft/web && ../../../$(BIN)/pybabel -q extract -F locale/babel.cfg -k text -k N_ --no-wrap \
		--no-location --sort-output -o ../../../build/texts.pot . && ../../../$(BIN)/pybabel -q update -D messages \
		--no-wrap --no-fuzzy-matching --ignore-obsolete -i ../../../build/texts.pot -d locale

lock: ## write requirements/*.txt anew (ARGS=--upgrade raises the versions)
	test -x build/lock/bin/uv || { $(PYTHON) -m venv build/lock && build/lock/bin/pip install uv==$(UV_VERSION); }
	$(LOCK) --extra dev pyproject.toml requirements/build.in -o requirements/dev.txt
	$(LOCK) --extra fuzz --no-deps -c requirements/dev.txt pyproject.toml -o requirements/fuzz.txt
	$(LOCK) --extra audit -c requirements/dev.txt pyproject.toml -o requirements/audit.txt
	$(LOCK) --extra server -c requirements/dev.txt pyproject.toml requirements/build.in -o requirements/server.txt

clean: ## remove caches and built files (neither .venv nor ./data)
	rm -rf build dist bench/jobload bench/results .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench demo -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Lineshaft needs Python 3.11 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name a newer one: make run PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment; Debian and Ubuntu: apt install python3-venv." >&2; exit 1; }

# --no-build-isolation: what builds the package is in the locked files too, so nothing unlocked is fetched.
$(SERVER): requirements/server.txt pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) install --quiet --require-hashes -r requirements/server.txt
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(SERVER)
	$(PIP) install --quiet --require-hashes -r requirements/dev.txt
	@touch $@
