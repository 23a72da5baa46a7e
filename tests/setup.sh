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
  python3:python3            # runs the client that docs/PROTOCOL.md shows
  groff:groff-base           # looks at the man pages
  ip:iproute2                # hosts of their own, as network namespaces
  nft:nftables               # partitions, losses and resets between them
)
# Where tests look for programs that are not installed (harness.Tool), as an absolute path.
cache=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}
cache=${cache:+$cache/brokerd-tests}

# install_missing installs packages, which takes root.
install_missing() {
  local need missing=() packages
  for need in "${needs[@]}"; do
    command -v "${need%%:*}" >/dev/null || missing+=("${need##*:}")
  done
  # The race detector's objects need a C library's headers too.
  [ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
  [ ${#missing[@]} -gt 0 ] || return 0

  mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: missing packages: ${packages[*]}; install them (as root: apt-get install ${packages[*]}), or some tests skip" >&2
    return 0
  fi
  export DEBIAN_FRONTEND=noninteractive
  if ! { update_lists && apt-get install -y -qq --no-install-recommends "${packages[@]}"; } >&2; then
    echo "setup: apt-get could not install ${packages[*]}; the tests that need them skip" >&2
  fi
}

# unpack_prometheus takes two programs out of Debian's package and installs nothing. Installed, it would be a server
# on port 9090 of every address: a policy-rc.d keeps it from starting now, and at the next boot it is there. Unpacking
# runs no maintainer script, makes no user, needs no root and leaves nothing to put back when it is interrupted. The
# programs need the C library only.
unpack_prometheus() {
  command -v prometheus >/dev/null && command -v promtool >/dev/null && return 0
  [ -x "$cache/prometheus" ] && [ -x "$cache/promtool" ] && return 0
  if [[ $cache != /* ]] || ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    echo "setup: prometheus and promtool are missing; put them into PATH, or the tests that need them skip" >&2
    return 0
  fi
  unpack_into "$cache" >&2 ||
    echo "setup: Debian's package prometheus could not be downloaded and unpacked; the tests that need it skip" >&2
}

unpack_into() (
  mkdir -p "$1" && work=$(mktemp -d "$1/unpack.XXXXXX") && cd "$work" || exit
  trap 'rm -rf "$work"' EXIT
  # As oneself, also when that is root: apt's own user has no way into this folder.
  download() { apt-get download -qq -o APT::Sandbox::User="$(id -un)" prometheus; }
  download || { [ "$(id -u)" -eq 0 ] && update_lists && download; } || exit
  dpkg-deb --extract ./prometheus_*.deb . && mv -f usr/bin/{prometheus,promtool} "$1"/
)

update_lists() { apt-get update -qq; }

install_missing
unpack_prometheus
