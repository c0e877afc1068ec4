# Needs Python 3.11 with venv, and make. Everything else is a package in .venv, pinned by requirements.lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# A stack is a dozen Python processes: none is to compile the program again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo test test-containers check format bench chaos lock lock-runtime clean

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $(STAMP)

demo: install
	$(BIN)/evacuate demo

test: install
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

# Needs root and Debian's docker.io, iptables, iproute2 and mmdebstrap; or DOCKER_HOST.
test-containers: install
	tests/containers/run.sh

# Needs Debian's qemu-system-common, qemu-utils and libnbd-bin.
.PHONY: test-volumes
test-volumes: install
	EVACUATE_REQUIRE_VOLUMES=1 $(BIN)/python -m pytest tests/volumes

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	PYRIGHT_PYTHON_CACHE_DIR=$(CURDIR)/$(VENV)/pyright $(BIN)/pyright
	$(BIN)/python -m pytest -q tests/test_architecture.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m tests.benchmarks.throughput

# The whole fault matrix, written to docs/fault-matrix.md; about an hour. CHAOS="--kind hang --step spawn_guest": a part.
chaos: install
	$(BIN)/python -m tests.chaos $(CHAOS)

lock:
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url \
	  --extra embedded --extra bmc --extra dev pyproject.toml -o requirements.lock

# Of the container image; versions as in requirements.lock.
lock-runtime:
	uv pip compile --universal --generate-hashes --python-version 3.11 --no-emit-index-url -c requirements.lock \
	  --extra bmc pyproject.toml -o requirements-runtime.lock

clean:
	rm -rf $(VENV) build dist *.egg-info
