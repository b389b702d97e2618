#!/bin/sh
# What Linux must allow for many sessions on one machine, beside what it allows now; with --apply, sets it until the next start.
#
#   sh deploy/limits.sh                          what 100,000 sessions need
#   sh deploy/limits.sh --sessions 1000000       what a million need
#   sh deploy/limits.sh --sessions 1000000 --both-ends --apply
#
# --both-ends: the clients run on this machine, too (a benchmark). Exit status 1 when something is too low.
set -eu

sessions=100000
ends=1
apply=no
while [ $# -gt 0 ]; do
  case $1 in
    --sessions) sessions=${2:?--sessions needs a number}; shift ;;
    --both-ends) ends=2 ;;
    --apply) apply=yes ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) echo "limits.sh: unknown argument '$1'; try --help" >&2; exit 2 ;;
  esac
  shift
done
case $sessions in *[!0-9]* | "") echo "limits.sh: --sessions takes a whole number, not '$sessions'" >&2; exit 2 ;; esac

short=0
say() { printf '%-34s %12s %12s  %s\n' "$1" "$2" "$3" "$4"; }

# name, least value, why
want() {
  file=/proc/sys/$(echo "$1" | tr . /)
  if [ ! -r "$file" ]; then
    say "$1" "-" "$2" "not here: nothing to do"
    return
  fi
  now=$(cat "$file")
  if [ "$now" -ge "$2" ]; then
    say "$1" "$now" "$2" "enough"
  elif [ "$apply" = yes ] && echo "$2" 2>/dev/null >"$file"; then
    say "$1" "$now" "$2" "raised ($3)"
  else
    say "$1" "$now" "$2" "TOO LOW: $3"
    short=1
  fi
}

say setting now wanted ""
# One descriptor per stream; a tenth more for everything else on the machine.
want fs.file-max $((sessions * ends + sessions / 10 + 10000)) "descriptors of the whole machine"
want fs.nr_open $((sessions + 10000)) "the highest limit one process may have"
want net.core.somaxconn 4096 "connections that wait to be accepted: a stampede after an outage"
want net.ipv4.tcp_max_syn_backlog 4096 "connections in the middle of their handshake"
want net.netfilter.nf_conntrack_max $((sessions * ends + 50000)) "connections that the firewall follows; beyond it packets are dropped"

# A limit of the process, not of the machine: it belongs into the service (LimitNOFILE=, --ulimit nofile=).
hard=$(ulimit -H -n)
need=$((sessions + 1000))
if [ "$hard" = unlimited ] || [ "$hard" -ge "$need" ]; then
  say "nofile, hard limit here" "$hard" "$need" "enough; the node raises its soft limit to it by itself"
else
  say "nofile, hard limit here" "$hard" "$need" "TOO LOW for one node: LimitNOFILE=$need in the unit, or several nodes of $hard each"
  short=1
fi

# Measured: about 4.2 KiB of kernel memory per idle stream and end, 0.4 KiB in the node, 3.2 KiB in the app server.
kib=$((sessions * (42 * ends + 4) / 10))
have=$(awk '/^MemAvailable:/ { print $2 }' /proc/meminfo)
if [ "$have" -ge "$kib" ]; then verdict=enough; else verdict="TOO LOW for idle sessions of this node alone"; short=1; fi
say "memory available, MiB" $((have / 1024)) $((kib / 1024)) "$verdict"
exit $short
