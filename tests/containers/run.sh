#!/usr/bin/env bash
# The tests in containers, in one piece: engine, images, pytest; nothing is left running, however it ends.
set -euo pipefail
cd "$(dirname "$0")/../.."
TMPDIR=$(mktemp -d) # of the shared disks too
export TMPDIR
trap 'deploy/engine.sh stop; rm -rf "$TMPDIR"' EXIT
trap 'exit 130' INT TERM

[ -n "${DOCKER_HOST:-}" ] || deploy/packages.sh containers
deploy/engine.sh start
deploy/images.sh
EVACUATE_REQUIRE_CONTAINERS=1 deploy/engine.sh run .venv/bin/python -m pytest "${@:-tests/containers}"
