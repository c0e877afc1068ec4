#!/usr/bin/env bash
# A private container engine that leaves nothing behind: start | stop | purge | run COMMAND...
#
# dockerd runs in a network namespace of its own, so the host's firewall, forwarding and ports stay as they are. It has
# no way out: images are built from what the host downloaded (images.sh). `run` gives a command the engine and its
# network. `stop` ends every container, also those of an engine that was killed; `purge` also removes the images.
# Where DOCKER_HOST is set, that engine is used and none is started. Needs root, and Debian's docker.io, iptables and
# iproute2; compose is the one of `make install`.
set -euo pipefail
cd "$(dirname "$0")/.."

DIR=${EVACUATE_ENGINE_DIR:-/var/tmp/evacuate-engine}
NETNS=evacuate-engine
SOCKET=unix://$DIR/docker.sock

own() { docker --host "$SOCKET" "$@"; }
answers() { own version >/dev/null 2>&1; }

pid() { # [FILE]: of our dockerd, or of who else wrote that file, if it lives
  local pid
  pid=$(cat "${1:-$DIR/dockerd.pid}" 2>/dev/null) || return 1
  grep -qs "$DIR" "/proc/$pid/cmdline" && echo "$pid"
}

forget() { # what a killed dockerd leaves: its successor refuses to start beside the one file, and waits for the other's
  local containerd=$DIR/exec/containerd/containerd.pid
  end "$(pid "$containerd" || true)"
  rm -f "$DIR/dockerd.pid" "$containerd"
}

start() {
  ! answers || return 0
  mkdir -p "$DIR"
  pid >/dev/null || forget
  [ -e "/run/netns/$NETNS" ] || ip netns add "$NETNS"
  nsenter --net="/run/netns/$NETNS" ip link set lo up
  nsenter --net="/run/netns/$NETNS" setsid dockerd --host "$SOCKET" --data-root "$DIR/data" --exec-root "$DIR/exec" \
    --containerd-namespace evacuate --containerd-plugins-namespace evacuate-plugins --pidfile "$DIR/dockerd.pid" --bip 172.30.0.1/24 --default-address-pool base=172.31.0.0/16,size=24 --ip 127.0.0.1 \
    >"$DIR/dockerd.log" 2>&1 </dev/null &
  for _ in $(seq 600); do
    ! answers || return 0
    sleep 0.1
  done
  tail -20 "$DIR/dockerd.log" >&2
  echo "engine.sh: the engine does not answer" >&2
  return 1
}

stop() {
  # Containers outlive an engine that was killed, and restart with the next one: that one is made to end them.
  [ -z "$(left)" ] || pid >/dev/null || start
  ! answers || clear_away
  end "$(pid || true)"
  { sed -n "s|^[^ ]* \($DIR/[^ ]*\) .*|\1|p" /proc/mounts || true; } | sort -r | while read -r mount; do umount "$mount"; done
  [ ! -e "/run/netns/$NETNS" ] || ip netns del "$NETNS"
  ! pgrep --full --list-full "$DIR/" >&2 || { echo "engine.sh: this is left of the engine" >&2; return 1; }
}

left() { # containers, running or not
  ls "$DIR/data/containers" 2>/dev/null || true
}

clear_away() {
  own ps --all --quiet | xargs --no-run-if-empty docker --host "$SOCKET" rm --force --volumes >/dev/null
  own network prune --force >/dev/null
  own volume prune --force >/dev/null
}

end() { # PID: and wait until it is gone
  [ -n "$1" ] || return 0
  kill "$1" 2>/dev/null || return 0
  for _ in $(seq 300); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  echo "engine.sh: process $1 does not end" >&2
  return 1
}

run() {
  if [ -n "${DOCKER_HOST:-}" ]; then exec "$@"; fi
  mkdir -p "$DIR/config/cli-plugins"
  ln -sf "$PWD/.venv/bin/docker-compose" "$DIR/config/cli-plugins/docker-compose"
  # Neither a registry for testcontainers' clean-up container nor a gateway that it could need.
  export DOCKER_HOST=$SOCKET DOCKER_CONFIG=$DIR/config TESTCONTAINERS_RYUK_DISABLED=true
  export TESTCONTAINERS_CONNECTION_MODE=docker_host
  exec nsenter --net="/run/netns/$NETNS" "$@"
}

case "${1:-}" in
  start) [ -n "${DOCKER_HOST:-}" ] || start ;;
  stop) [ -n "${DOCKER_HOST:-}" ] || stop ;;
  purge) stop && rm -rf "$DIR" ;;
  run) shift && run "$@" ;;
  *) echo "usage: engine.sh start | stop | purge | run COMMAND..." >&2 && exit 2 ;;
esac
