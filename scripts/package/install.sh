#!/bin/sh
# Installs Squall on a Linux host: its static programs, a unit for systemd, manual and completions.
#
#   ./install.sh                 installs, or upgrades; sessions of an agent that runs are taken back first
#   ./install.sh --root DIR      into another root, without starting anything
#   ./install.sh --remove        stops the agent, which takes its sessions back, and removes the programs
#   ./install.sh --purge         the same, and keys, policy, journal and audit log
set -eu

here=$(cd "$(dirname "$0")" && pwd)
root= action=install
while [ $# -gt 0 ]; do
    case $1 in
        --root) root=${2:?--root needs a folder}; shift ;;
        --remove | --purge) action=${1#--} ;;
        -h | --help) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 0 ;;
        *) echo "install.sh: unknown: $1; see --help" >&2; exit 64 ;;
    esac
    shift
done
# The machine's own root is none of another.
if [ -n "$root" ]; then
    root=$(realpath "$root")
    if [ "$root" = / ]; then root=; fi
fi
[ "$(id -u)" -eq 0 ] || { echo "install.sh: needs root" >&2; exit 77; }

# A link in another root must not lead out of it.
inside() {
    case "$(realpath -m "$root$1")" in "$root"/*) ;; *) echo "install.sh: $root$1 leads out of $root" >&2; exit 1 ;; esac
}
if [ -n "$root" ]; then
    for place in /usr/bin /usr/lib/squall /usr/lib/systemd/system /usr/share /etc/default /etc/squall /var/lib/squall /run/squall; do inside "$place"; done
fi

has_systemd() { [ -z "$root" ] && [ -d /run/systemd/system ]; }

files() { (cd "$here/tree" && find . -type f | sed 's/^\.//'); }

# What the operator may have changed.
is_configuration() { case $1 in /etc/*) true ;; *) false ;; esac; }

stop_agent() {
    if has_systemd && [ -e /usr/lib/systemd/system/squalld.service ]; then systemctl stop squalld.service; fi
    # It reads the journal: nothing there is left to be taken back.
    if [ -e "$root/var/lib/squall/journal" ] && ! "$here/tree/usr/bin/squall" journal verify --settled \
        --state-directory "$root/var/lib/squall" > /dev/null; then
        echo "install.sh: not everything is taken back: see 'squall journal verify', and run 'squall recover --offline'" >&2
        exit 1
    fi
}

case $action in
    install)
        stop_agent
        (cd "$here/tree" && find . -type d) | while read -r folder; do
            [ -d "$root/$folder" ] || mkdir -p -m "$(stat -c %a "$here/tree/$folder")" "$root/$folder"
        done
        files | while read -r file; do
            if is_configuration "$file" && [ -e "$root$file" ]; then continue; fi
            # A new file in the old one's place, which may be running.
            cp -p "$here/tree$file" "$root$file.new"
            chown 0:0 "$root$file.new"
            mv "$root$file.new" "$root$file"
        done
        if has_systemd; then
            # A Debian package that was removed has it masked.
            systemctl unmask --quiet squalld.service
            systemctl daemon-reload
            systemctl enable --now --quiet squalld.service
            echo "installed: squalld runs; 'squall doctor' says what works here"
        else
            echo "installed: start $root/usr/lib/squall/squalld as a service that is restarted when it ends"
        fi
        ;;
    remove | purge)
        stop_agent
        if has_systemd; then systemctl disable --quiet squalld.service || true; fi
        files | while read -r file; do
            if is_configuration "$file" && [ $action = remove ]; then continue; fi
            rm -f "$root$file"
        done
        rmdir "$root/usr/lib/squall" "$root/usr/share/doc/squall" 2>/dev/null || true
        if [ -z "$root" ]; then rmdir /sys/fs/cgroup/squall-deadman /sys/fs/cgroup/*/squall-deadman 2>/dev/null || true; fi
        if [ $action = purge ]; then rm -rf "$root/etc/squall" "$root/var/lib/squall" "$root/run/squall" "$root/run/squalld"; fi
        if has_systemd; then systemctl daemon-reload; fi
        echo "removed$([ $action = purge ] || echo ": /etc/squall and /var/lib/squall stay")"
        ;;
esac
