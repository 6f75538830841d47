#!/bin/sh
# Runs a command inside a node, as if logged in there; `outside` is the world beyond the cluster.
#
#     hack/cluster/enter.sh node1 ctr -n k8s.io containers list
set -eu
name=$1
shift
read -r pid < "$(dirname "$0")/../../.cluster/nodes/$name/pid"
exec nsenter --target "$pid" --mount --uts --net --pid -- "$@"
