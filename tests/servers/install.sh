#!/bin/sh
# Installs what the test suite runs as its own child processes, if it is missing: servers and a few tools.
# Starts no service.
set -eu

missing=""
[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] && command -v epmd >/dev/null || missing="$missing rabbitmq-server"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
[ -x /usr/sbin/pgbouncer ] || command -v pgbouncer >/dev/null || missing="$missing pgbouncer"
command -v setpriv >/dev/null || missing="$missing util-linux"
for tool in strace curl openssl; do
    command -v "$tool" >/dev/null || missing="$missing $tool"
done
command -v chromium >/dev/null || missing="$missing chromium"
[ -e /usr/share/doc/fonts-inter ] || missing="$missing fonts-inter"
[ -n "$missing" ] || exit 0

give_up() {
    echo "The tests need$missing, and $1. Please run: apt-get install$missing" >&2
    exit 1
}

command -v apt-get >/dev/null || give_up "there is no apt-get here"
if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    give_up "installing them takes root or a sudo without password"
fi

# Debian's packages start their services unless this policy forbids it.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap '$as_root rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi

apt() {
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120 "$@" </dev/null
}

echo "Installing$missing ..."
# shellcheck disable=SC2086 # a list of words
apt install -y --no-install-recommends $missing >/dev/null 2>&1 ||
    { apt update && apt install -y --no-install-recommends $missing >/dev/null; } ||
    give_up "apt-get could not install them"
