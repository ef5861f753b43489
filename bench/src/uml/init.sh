#!/bin/sh
# The guest's first process: a root that may be written to, over the machine's that may not; then the command.
# The kernel hands over `modules`, the directory of its modules, from its own command line.
# Beside this file: `command` is what to run; `failure`, `output` and `status` tell what became of it.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
here=${0%/*}

finish() {
    sync
    busybox halt -f
}
give_up() {
    echo "$1" > "$here/failure"
    finish
}

# This directory alone may be written to from here.
mount -t hostfs -o "$here" files "$here" || finish
mount -t proc proc /proc || give_up "/proc can't be mounted"
insmod "$modules/$(uname -r)/kernel/fs/overlayfs/overlay.ko" || give_up "overlayfs can't be loaded"
mount -t tmpfs -o mode=755 tmpfs /mnt || give_up "there is no tmpfs"
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root ||
    give_up "the overlay of the root can't be mounted"

cd /mnt/root || give_up "the overlay can't be entered"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t bpf bpf sys/fs/bpf
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm lib/modules
mount -t devpts devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs -o mode=755 tmpfs run
mount -t hostfs -o "$modules" modules lib/modules
ip link set lo up

chroot . sh -c "$(cat "$here/command")" < /dev/null > "$here/output" 2>&1
echo $? > "$here/status"
finish
