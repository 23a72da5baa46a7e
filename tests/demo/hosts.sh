#!/usr/bin/env bash
# Rings across hosts, in about 15 s: two daemons with certificates of a lab CA, the
# recorded feed published at one and read at the other, and each daemon killed once
# on the way. Ends with a table of what arrived; its exit code is 0 if that is all.
# Usage: hosts.sh BIN, the folder of brokerd and brokerctl. Leaves nothing behind.
set -euo pipefail

bin=$(cd "$1" && pwd)
feed=$(cd "$(dirname "$0")/../testdata" && pwd)/feed-slice.jsonl.gz
here=$(mktemp -d /dev/shm/brokerd-hosts.XXXXXX)
declare -A daemon
# It waits for its children by their ids: bash says nothing about their end then.
leave() {
  trap - EXIT
  local children; children=$(jobs -p)
  [ -z "$children" ] || { kill $children; wait $children; } 2> /dev/null || true
  cd / && rm -r "$here"
}
trap leave EXIT
trap 'exit 130' INT TERM
cd "$here"

ctl() { "$bin/brokerctl" --socket "$here/$1.sock" "${@:2}"; }
start() {
  "$bin/brokerd" --config "$1.yaml" 2>> "$1.log" & daemon[$1]=$!
  ctl "$1" status --wait-for 10s > /dev/null
}
# restart kills a daemon, and starts it again after a second.
restart() {
  printf '%-9s %s\n' "$1" "brokerd is killed (kill -9)"
  kill -9 "${daemon[$1]}" && { wait "${daemon[$1]}" 2> /dev/null || true; }
  sleep 1; start "$1"
  printf '%-9s %s\n' "$1" "brokerd is back"
}
# waitFor WORDS COMMAND... runs the command until its output has the words, 10 s at most.
waitFor() {
  for _ in $(seq 100); do
    "${@:2}" 2> /dev/null | grep -q "$1" && return
    sleep 0.1
  done
  echo "not within 10 s: $1 in ${*:2}" >&2; tail -5 ./*.log >&2; exit 1
}
records() { ctl "$1" stats "$2" -o json | grep -o '"sequence": *[0-9]*' | head -1 | tr -dc 0-9; }

"$bin/brokerctl" pki init --dir pki > /dev/null
for host in chicago desk; do "$bin/brokerctl" pki issue $host --dir pki > /dev/null; done
configuration() {
  cat <<END
dir: $here/$1
control: {socket: $here/$1.sock}
gateway:
  name: $1
  tls: {cert: $here/pki/$1.pem, key: $here/pki/$1-key.pem, ca: $here/pki/ca.pem}
END
}
{ configuration chicago; echo "  listen: 127.0.0.1:0"; echo "  peers: [{name: desk, allow: {export: [md]}}]"; echo "rings: [{name: md}]"; } > chicago.yaml
start chicago
address=$(ctl chicago links | sed -n 's/^listening on //p')
sed -i "s/listen: .*/listen: $address/" chicago.yaml # so that it comes back there
{ configuration desk; echo "  peers: [{name: chicago, address: \"$address\", mirror: [{ring: md, as: md.chi}]}]"; } > desk.yaml
start desk
waitFor ' connected ' ctl desk links
printf 'chicago   publishes the recorded feed into md, at %s\ndesk      mirrors it as md.chi, over TLS, and reads that\n' "$address"

ctl desk attach md.chi --as consumer --name book --policy block --from oldest --until-end > got 2> summary & reader=$!
waitFor book ctl desk attachments md.chi
zcat "$feed" | awk '{ print } NR % 100 == 0 { fflush(); system("sleep 0.1") }' | ctl chicago attach md --as producer --end 2> published & publisher=$!
sleep 2; restart desk
sleep 2; restart chicago
wait $publisher
for _ in $(seq 100); do kill -0 $reader 2> /dev/null || break; sleep 0.1; done
kill $reader 2> /dev/null || true
wait $reader || true

sent=$(zcat "$feed" | sha256sum) arrived=$(sha256sum < got)
echo
printf '%-22s %10s  %s\n' '' records sha256
printf '%-22s %10s  %.16s\n' "recorded" "$(zcat "$feed" | wc -l)" "$sent" "md at chicago" "$(records chicago md)" "" \
  "md.chi at desk" "$(records desk md.chi)" "" "read at desk" "$(wc -l < got)" "$arrived"
sed 's/^brokerctl: /\nreader:   /' summary
ctl desk links | cut -c1-150
[ "$sent" = "$arrived" ] || { echo "what was read is not what was recorded" >&2; exit 1; }
printf '\nevery record arrived once, in order, over two killed daemons\n'
