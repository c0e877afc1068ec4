#!/usr/bin/env bash
# What the tests with real parts need of Debian 12: packages.sh volumes | libvirt | containers. Says what is missing
# (exit 2); as root with EVACUATE_INSTALL=1 or CI=true it installs that, and starts no service.
set -euo pipefail

case "${1:-}" in
  volumes) packages=(qemu-system-common qemu-utils libnbd-bin) ;;
  libvirt)
    packages=(libvirt-daemon-system libvirt-clients libvirt-dev qemu-system-x86 qemu-utils qemu-block-extra
      busybox-static cpio lz4 zstd pkg-config gcc iproute2 iputils-ping openssl openvswitch-switch) ;;
  containers) packages=(docker.io iptables iproute2 mmdebstrap) ;;
  *) echo "usage: packages.sh volumes | libvirt | containers" >&2 && exit 2 ;;
esac
missing=()
for each in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$each" 2>/dev/null)" = installed ] || missing+=("$each")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "${EVACUATE_INSTALL:-}" != 1 ] && [ "${CI:-}" != true ] || [ "$(id -u)" != 0 ]; then
  echo "error: these Debian packages are missing: ${missing[*]}: install them, or run as root with EVACUATE_INSTALL=1" >&2
  exit 2
fi
if [ ! -e /usr/sbin/policy-rc.d ]; then
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod +x /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o DPkg::Lock::Timeout=300 update -qq
apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "${missing[@]}"
