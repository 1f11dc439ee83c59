# What `up`, `down` and `status` share. Not a program.

set -euo pipefail
umask 077

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

fail() {
  echo "$*" >&2
  exit 1
}

[[ $# -eq 1 && -n $1 ]] || fail "usage: $(basename "$0") DIR"
dir=$(realpath -m -- "$1")
[[ $dir =~ ^[A-Za-z0-9/._-]+$ ]] || fail "$dir: use letters, digits and . _ - only, the path goes into configuration files"

# PostgreSQL refuses to run as root: then everything runs as the user postgres. Nothing else comes from the environment.
as_user=(env -i PATH=/usr/bin:/bin LC_ALL=C.UTF-8 HOME="$dir" PGPASSFILE="$dir/pgpass")
if ((EUID == 0)); then
  as_user=(setpriv --reuid postgres --regid postgres --init-groups "${as_user[@]}")
fi

# running FILE NAME: whether the process of which the first line of FILE tells is there, and is one of this kit
running() {
  local pid
  pid=$(head -n 1 "$1" 2>/dev/null) && [[ $pid =~ ^[0-9]+$ ]] || return 1
  [[ -r /proc/$pid/cmdline ]] && tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2" || return 1
  [[ $(sed 's/.*) //; s/ .*//' "/proc/$pid/stat") != Z ]]
}

etcd_runs() { running "$dir/etcd.pid" "$dir/etcd"; }
patroni_runs() { running "$dir/node$1/patroni.pid" "$dir/node$1/patroni.yml"; }
postgres_runs() { running "$dir/node$1/data/postmaster.pid" "$dir/node$1/data"; }

any_node() {
  local n
  for n in 1 2; do
    if patroni_runs "$n"; then
      echo "$n"
      return
    fi
  done
  return 1
}

members() { "${as_user[@]}" patronictl -c "$dir/node1/patroni.yml" list "$@" 2>>"$dir/patronictl.log"; }
