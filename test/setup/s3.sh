#!/bin/sh
# An S3 server for tests: Ceph's, from packages unpacked into ROOT. One monitor, one store in memory,
# one gateway, all on 127.0.0.1, in namespaces of their own:
#
#   unshare --mount --pid --fork --kill-child sh s3.sh ROOT DIRECTORY PORT MONITOR_PORT SECOND_PORT
#
# It begins empty, says "ready" and lasts as long as its standard input is open. This shell is the
# first process of its namespace: when it ends, however it ends, the kernel ends the others.
set -eu
root=$1 directory=$2 port=$3 monitor=$4 second=$5
key=testaccesskey secret=testsecretkey0123456789

mount --make-rprivate /
mkdir -p "$directory/mon" "$directory/osd" "$directory/rgw" "$directory/run" "$directory/log"
mkdir -p "$root/mnt"
mount --bind "$directory" "$root/mnt"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --rbind /sys "$root/sys"
echo root:x:0:0:root:/root:/bin/sh >"$root/etc/passwd"
echo root:x:0: >"$root/etc/group"

ceph() { # runs a program of the packages
  timeout 60 chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin LC_ALL=C "$@" </dev/null
}

serve() { # runs one until the end
  chroot "$root" /usr/bin/env PATH=/usr/sbin:/usr/bin LC_ALL=C "$@" </dev/null >/dev/null 2>&1 &
}

until_holds() { # asks until the answer is yes
  for _ in $(seq 200); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "this did not come true: $*" >&2
  return 1
}

identity=$(cat /proc/sys/kernel/random/uuid)
conf=/mnt/ceph.conf
# Checksums of messages (crc), because without keys there is nothing to sign them with; tcp_nodelay,
# because without it a small object takes 45 ms.
cat >"$directory/ceph.conf" <<END
[global]
fsid = $identity
mon initial members = a
mon host = [v2:127.0.0.1:$second,v1:127.0.0.1:$monitor]
public addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
auth supported = none
run dir = /mnt/run
admin socket = /mnt/run/\$name.\$pid.asok
log file = /mnt/log/\$name.log
crash dir = /mnt/log
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
mon data avail crit = 1
mon warn on pool no redundancy = false
ms bind ipv6 = false
ms mon client mode = crc
[mon]
mon data = /mnt/mon
paxos propose interval = 0.05
paxos min wait = 0.01
[osd]
osd data = /mnt/osd
osd objectstore = memstore
memstore device bytes = 8589934592
osd op num shards = 2
osd class update on start = false
[client]
rgw data = /mnt/rgw
rgw frontends = beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw thread pool size = 64
rgw enable usage log = false
rgw dynamic resharding = false
rgw run sync thread = false
rgw override bucket index max shards = 1
END

ceph monmaptool --create --fsid "$identity" \
  --addv a "[v2:127.0.0.1:$second,v1:127.0.0.1:$monitor]" /mnt/monmap >/dev/null
ceph ceph-mon -c "$conf" --mkfs -i a --monmap /mnt/monmap
serve ceph-mon -c "$conf" -i a -f
until_holds ceph ceph -c "$conf" mon stat

store=$(cat /proc/sys/kernel/random/uuid)
ceph ceph -c "$conf" osd new "$store" >/dev/null
ceph ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$store" >/dev/null 2>&1
serve ceph-osd -c "$conf" -i 0 -f
is_up() { ceph ceph -c "$conf" osd stat | grep -q '1 up'; }
until_holds is_up

serve radosgw -c "$conf" -n client.rgw -f
ceph radosgw-admin -c "$conf" user create --uid=test --display-name=test \
  --access-key="$key" --secret-key="$secret" >/dev/null 2>&1
answers() { # anything that is spoken as HTTP
  ceph bash -c "exec 3<>/dev/tcp/127.0.0.1/$port && printf 'GET / HTTP/1.0\r\n\r\n' >&3 && read -r line <&3"
}
until_holds answers

echo ready
cat >/dev/null
