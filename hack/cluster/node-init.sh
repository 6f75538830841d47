#!/bin/sh
# The first process of a node, in new mount, pid, network and UTS namespaces: gives the node its own file system tree
# with the standard paths, then becomes the node's init. When it is killed the kernel ends every process of the node.
#
#     node-init.sh NAME STATE LOGS PAUSE KUBERNETES KUBE_ROUTER
#
# STATE is the node's folder, with conf/ filled; LOGS what it shall see as /var/log; PAUSE the binary to become; the
# last two are folders of binaries.
set -eu
name=$1 state=$2 logs=$3 pause=$4 kubernetes=$5 kube_router=$6

# /proc is still the machine's: this is our number as the machine sees it.
read -r pid _ < /proc/self/stat
echo "$pid" > "$state/pid"

hostname "$name"
# mount's -n: the table that it would write otherwise lies under /run, which changes here.
mount -n -t proc proc /proc

# A sysfs shows the network namespace in which it was mounted; the cgroups below it stay the machine's.
run=$state/run
mkdir -p "$run"
mount -n -t tmpfs -o mode=755 tmpfs "$run"
mkdir -p "$run/node/cgroup"
mount -n --rbind /sys/fs/cgroup "$run/node/cgroup"
mount -n -t sysfs sysfs /sys
mount -n --move "$run/node/cgroup" /sys/fs/cgroup
rmdir "$run/node/cgroup"

# The kubelet sets these for the whole machine. Let it set copies: the machine is not ours.
for setting in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  copy=$run/node/sysctl/$setting
  mkdir -p "${copy%/*}"
  cat "/proc/sys/$setting" > "$copy"
  mount -n --bind "$copy" "/proc/sys/$setting"
done

# All that is needed later is put below the new /run first: the clone may lie in a folder that is hidden in a moment.
mkdir -p "$run/node/conf" "$run/node/kubernetes" "$run/node/kube-router" "$run/lock" "$run/netns"
cp "$state"/conf/* "$run/node/conf/"
cp "$pause" "$run/node/init"
mount -n --bind "$kubernetes" "$run/node/kubernetes"
mount -n --bind "$kube_router" "$run/node/kube-router"
mkdir -p "$run/node/stage/opt" "$run/node/stage/var/lib" "$run/node/stage/var/log"
mount -n --bind "$state/opt" "$run/node/stage/opt"
mount -n --bind "$state/var/lib" "$run/node/stage/var/lib"
mount -n --bind "$logs" "$run/node/stage/var/log"

# A layer over /etc rather than a folder in its place: the tools of the machine read theirs there.
mount -n -t overlay overlay -o "lowerdir=/etc,upperdir=$state/etc,workdir=$state/etc.work" /etc
mount -n --move "$run" /run
for folder in opt var/lib var/log; do
  mount -n --move "/run/node/stage/$folder" "/$folder"
done
rm -r /run/node/stage

# Mount propagation of Pods (Bidirectional, HostToContainer) wants a shared tree; on the machine it may be private.
mount -n --make-rshared /

exec /run/node/init
