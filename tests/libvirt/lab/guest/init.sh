#!/bin/sh
# The lab guest's PID 1: it counts on its disk, and says so on its console.
#
# Words on the kernel's command line:
#   ip=A.B.C.D/LEN   address of the first NIC       host=NAME  epoch=N  instance=UUID   written into every record
#   period=SECONDS   between two records (0.2)      agent=yes  answer as a QEMU guest agent
#
# The disk: sector n holds record n, sector 0 the newest again, as "counter epoch host instance seconds".
/bin/busybox mkdir -p /proc /sys /dev /tmp
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin
for module in /mod/*.ko; do insmod "$module" || echo "insmod $module failed" >/dev/console; done
word() { for each in $(cat /proc/cmdline); do case $each in "$1"=*) echo "${each#*=}" ;; esac; done; }
host=$(word host) epoch=$(word epoch) instance=$(word instance) period=$(word period) ip=$(word ip)
: "${host:=none}" "${epoch:=0}" "${instance:=none}" "${period:=0.2}"
i=0; while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do i=$((i + 1)); usleep 20000; done
ip link set lo up
if [ -n "$ip" ] && [ -d /sys/class/net/eth0 ]; then
  ip addr add "$ip" dev eth0
  ip link set eth0 up
  (arping -A -c 3 -I eth0 "${ip%/*}" >/dev/null 2>&1 &)
fi
[ "$(word agent)" = yes ] && (/agent >/dev/null 2>&1 &)
newest() { dd if=/dev/vda bs=512 count=1 iflag=direct 2>/dev/null | tr -d '\000' | head -n 1; }
put() { printf '%s\n' "$2" | dd of=/dev/vda bs=512 count=1 seek="$1" conv=sync,fsync,notrunc 2>/tmp/error; }
set -- $(newest)
n=${1:-0}
case $n in *[!0-9]*) n=0 ;; esac
echo "GUEST-UP host=$host epoch=$epoch count=$n" >/dev/console
while :; do
  n=$((n + 1))
  record="$n $epoch $host $instance $(date +%s).000"
  if put $n "$record" && put 0 "$record"; then echo "TICK host=$host epoch=$epoch count=$n" >/dev/console
  else echo "WRITE-ERROR host=$host epoch=$epoch count=$n $(tail -n 1 /tmp/error)" >/dev/console; n=$((n - 1)); fi
  sleep "$period"
done
