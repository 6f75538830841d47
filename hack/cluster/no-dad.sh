#!/bin/sh
# A CNI plugin that comes before ptp and turns off IPv6 duplicate address detection for the interfaces that follow.
# ptp waits for it to end, about two seconds per Pod, and has no option (bridge has: enabledad, off by default). The
# addresses come from host-local, so there is nothing to detect.
cat > /dev/null # the configuration; unread, the caller would meet a broken pipe
case $CNI_COMMAND in
  ADD)
    # shellcheck disable=SC2016
    nsenter --net="$CNI_NETNS" sh -c 'echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad'
    echo '{"cniVersion":"1.0.0"}'
    ;;
  VERSION) echo '{"cniVersion":"1.0.0","supportedVersions":["0.3.1","0.4.0","1.0.0"]}' ;;
esac
