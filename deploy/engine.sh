#!/usr/bin/env bash
# A private container engine that leaves nothing behind: start | stop | purge | run COMMAND...
#
# dockerd runs in a network namespace of its own, so the host's firewall, forwarding and ports stay as they are. It has
# no way out: images are built from what the host downloaded (images.sh). `run` gives a command the engine and its
# network. Where DOCKER_HOST is set, that engine is used and none is started. `purge` also removes the images.
# Needs root, and Debian's docker.io, iptables and iproute2.
set -euo pipefail

DIR=${EVACUATE_ENGINE_DIR:-/var/tmp/evacuate-engine}
NETNS=evacuate-engine
SOCKET=unix://$DIR/docker.sock
export DOCKER_CONFIG=${DOCKER_CONFIG:-$DIR/config} # where images.sh puts the compose program
# A namespaced engine has neither a registry for the clean-up container nor a gateway that the tests could need.
export TESTCONTAINERS_RYUK_DISABLED=${TESTCONTAINERS_RYUK_DISABLED:-true}
export TESTCONTAINERS_CONNECTION_MODE=${TESTCONTAINERS_CONNECTION_MODE:-docker_host}

answers() { docker --host "${1:-$SOCKET}" version >/dev/null 2>&1; }

pid() { # of our dockerd, if it lives
  local pid
  pid=$(cat "$DIR/dockerd.pid" 2>/dev/null) || return 1
  grep -qs "$DIR" "/proc/$pid/cmdline" && echo "$pid"
}

start() {
  [ -z "${DOCKER_HOST:-}" ] || return 0
  ! answers || return 0
  mkdir -p "$DIR"
  pid >/dev/null || rm -f "$DIR/dockerd.pid" # one that was killed leaves its file, and dockerd refuses to start beside it
  [ -e "/run/netns/$NETNS" ] || ip netns add "$NETNS"
  nsenter --net="/run/netns/$NETNS" ip link set lo up
  nsenter --net="/run/netns/$NETNS" setsid dockerd --host "$SOCKET" --data-root "$DIR/data" --exec-root "$DIR/exec" \
    --pidfile "$DIR/dockerd.pid" --bip 172.30.0.1/24 --default-address-pool base=172.31.0.0/16,size=24 --ip 127.0.0.1 \
    >"$DIR/dockerd.log" 2>&1 </dev/null &
  for _ in $(seq 300); do
    answers && return
    sleep 0.1
  done
  tail -20 "$DIR/dockerd.log" >&2
  echo "engine.sh: the engine does not answer" >&2
  return 1
}

stop() {
  local pid
  if pid=$(pid); then
    kill "$pid"
    for _ in $(seq 300); do
      kill -0 "$pid" 2>/dev/null || break
      sleep 0.1
    done
    ! kill -0 "$pid" 2>/dev/null || { echo "engine.sh: dockerd ($pid) does not end" >&2; return 1; }
  fi
  { sed -n "s|^[^ ]* \($DIR/[^ ]*\) .*|\1|p" /proc/mounts || true; } | sort -r | while read -r mount; do umount "$mount"; done
  [ ! -e "/run/netns/$NETNS" ] || ip netns del "$NETNS"
}

run() {
  if [ -z "${DOCKER_HOST:-}" ] && pid >/dev/null; then
    export DOCKER_HOST=$SOCKET
    exec nsenter --net="/run/netns/$NETNS" "$@"
  fi
  exec "$@"
}

case "${1:-}" in
  start) start ;;
  stop) stop ;;
  purge) stop && rm -rf "$DIR" ;;
  run) shift && run "$@" ;;
  *) echo "usage: engine.sh start | stop | purge | run COMMAND..." >&2 && exit 2 ;;
esac
