#!/bin/sh
# Makes a bare Debian 12 ready to build podsplit and to run the embedded cluster: the distribution's packages and the
# npm ones. Plain sh, because nothing else is sure to exist yet. Run again it finds nothing to do and says so.
set -eu
cd "$(dirname "$0")/.."

# Package, and the file that shows it is there: a path is cheaper to test than dpkg's database, and a tool installed
# by other means counts too.
packages='
containerd:/usr/bin/containerd
runc:/usr/sbin/runc
nftables:/usr/sbin/nft
iptables:/usr/sbin/iptables
ipset:/usr/sbin/ipset
conntrack:/usr/sbin/conntrack
iproute2:/usr/sbin/ip
ethtool:/usr/sbin/ethtool
socat:/usr/bin/socat
python3:/usr/bin/python3
mmdebstrap:/usr/bin/mmdebstrap
gcc:/usr/bin/gcc
libc6-dev:/usr/include/stdlib.h
ca-certificates:/usr/sbin/update-ca-certificates
chromium:/usr/bin/chromium
'

missing=''
for entry in $packages; do
  [ -e "${entry#*:}" ] || missing="$missing ${entry%%:*}"
done

if [ -n "$missing" ]; then
  echo "setup: installing$missing"
  export DEBIAN_FRONTEND=noninteractive
  # containerd's package would start a service of its own; the cluster brings its own daemons, one per node. A
  # policy-rc.d that says 101 is Debian's way to say so, and it is put back as it was.
  policy=/usr/sbin/policy-rc.d
  if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    printf '#!/bin/sh\nexit 101\n' > $policy
    chmod 755 $policy
  fi
  apt-get -o DPkg::Lock::Timeout=300 update -qq
  # shellcheck disable=SC2086 # a list of words
  apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $missing > /dev/null
  if [ -d /run/systemd/system ]; then
    systemctl disable --now containerd > /dev/null 2>&1 || true
  fi
fi

if [ ! -e node_modules/node/bin/node ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  echo 'setup: npm ci'
  npm ci --no-audit --no-fund --loglevel=error
  # .npmrc lets no package run programs when it is installed. The package `node` has to: it fetches its binary.
  npm rebuild --ignore-scripts=false --loglevel=error node > /dev/null
  touch node_modules/.package-lock.json
elif [ -z "$missing" ]; then
  echo 'setup: nothing to do'
fi
