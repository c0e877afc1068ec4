# Needs Python 3.11 with venv, and make. Everything else is a package in .venv, pinned by requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A stack is a dozen Python processes: none is to compile the program again.
unexport PYTHONDONTWRITEBYTECODE

LIBVIRT := $(VENV)/.libvirt
MUTATING := $(VENV)/.mutations
SCENARIOS := tests/scenarios

.PHONY: install demo demo-libvirt test test-scenarios test-chaos test-containers test-volumes test-libvirt check format bench chaos \
  mutations soak lock lock-runtime lock-libvirt lock-mutations clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: install
	$(BIN)/evacuate demo

# Four at once: fewer leave a part of two cores unused.
test: install
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not long" --ignore tests/volumes --ignore $(SCENARIOS) tests

# Each story of tests/scenarios, told on a stack of its own.
test-scenarios: install
	$(BIN)/python -m pytest -n 4 --dist worksteal -m "not long" $(SCENARIOS)

# Some of the fault matrix, and that on a product that is broken on purpose; returns of hosts that die at each step;
# programs that are stopped in the midst of it.
test-chaos: install
	$(BIN)/python -m pytest -n 3 --dist worksteal -m long tests

# These need the Debian packages that deploy/packages.sh names, and install them as root with EVACUATE_INSTALL=1 (or
# CI=true). Those with real guests or containers need root; DOCKER_HOST is used where it is set.
test-volumes: install
	deploy/packages.sh volumes
	EVACUATE_REQUIRE_VOLUMES=1 $(BIN)/python -m pytest -n 2 --dist worksteal tests/volumes

test-containers: install
	tests/containers/run.sh

test-libvirt: $(LIBVIRT)
	EVACUATE_REQUIRE_LIBVIRT=1 $(BIN)/python -m pytest tests/libvirt tests/unit/libvirt tests/integration/hypervisors

demo-libvirt: $(LIBVIRT)
	$(BIN)/python -m tests.libvirt.demo

$(LIBVIRT): $(STAMP) requirements-libvirt.lock deploy/packages.sh
	deploy/packages.sh libvirt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --require-hashes \
	  -r requirements-libvirt.lock
	touch $(LIBVIRT)

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYRIGHT_PYTHON_CACHE_DIR=$(CURDIR)/$(VENV)/pyright $(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_architecture.py tests/test_references.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# BENCH="--fleet 500x5000 --closed 50000 --against 3x60": what one recovery costs the store of a fleet that has grown.
bench: install
	$(BIN)/python -m tests.benchmarks.$(if $(findstring --fleet,$(BENCH)),store,throughput --control-workers 2 --window 24) $(BENCH)

# The whole fault matrix, written to docs/fault-matrix.md; an hour. CHAOS="--kind hang --step spawn_guest": a part.
chaos: install
	$(BIN)/python -m tests.chaos $(CHAOS)

# Three hundred small mistakes in the modules that carry the guarantees, each against the tests that execute its line; written to
# docs/mutations.md. MUTATIONS="--only settling": a part, not written; MUTATIONS=--again: what the last run did not kill.
mutations: $(MUTATING)
	$(BIN)/python -m tests.mutations $(MUTATIONS)

$(MUTATING): $(STAMP) requirements-mutations.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-mutations.lock
	touch $(MUTATING)

# Ten minutes of evacuations at random. SOAK="--minutes 60 --database postgres": longer, on another store.
soak: install
	$(BIN)/python -m tests.soak $(SOAK)

lock:
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	  --extra embedded --extra bmc --extra dev pyproject.toml -o requirements.lock

# Of the container image; versions as in requirements.lock.
lock-runtime:
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url -c requirements.lock \
	  --extra bmc pyproject.toml -o requirements-runtime.lock

# libvirt-python alone: it is built where it is installed, against that machine's libvirt.
lock-libvirt:
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["libvirt"])' \
	  | uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url - -o requirements-libvirt.lock

# What `make mutations` needs besides.
lock-mutations:
	$(PYTHON) -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["mutations"], sep="\n")' \
	  | uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url -c requirements.lock - -o requirements-mutations.lock

clean:
	rm -rf $(VENV) build dist *.egg-info
