#!/bin/bash
# Installs what the tests need from Debian: quick when it is all there, harmless when it cannot.
# A test whose tool is still missing afterwards skips and says so (or fails, under REQUIRE_ALL=1).
set -euo pipefail

# command:package
needs=(
  gcc:gcc                    # go test -race links with it
  strace:strace              # counts system calls
  systemd-analyze:systemd    # checks of the unit
  systemd-sysusers:systemd
  systemd-tmpfiles:systemd
)

missing=()
for need in "${needs[@]}"; do
  command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
done
# The race detector's objects need a C library's headers too.
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
[ ${#missing[@]} -gt 0 ] || exit 0

mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: missing packages: ${packages[*]}; install them (as root: apt-get install ${packages[*]}), or some tests skip" >&2
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >&2; then
  echo "setup: apt-get could not install ${packages[*]}; the tests that need them skip" >&2
fi
