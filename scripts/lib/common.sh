# Sourced by the scripts beside it: where things are, and what a fresh Debian machine needs.
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
programs_directory=$root/.build/programs
programs=(squalld squall-gateway squall-runtimes squall-worker squall-deadman squall)

say() { printf '\033[1m==> %s\033[0m\n' "$*" | { [ -t 1 ] && cat || sed 's/\x1b\[[0-9;]*m//g'; }; }

# Debian's own Python first: the tests' libraries are installed for that one.
export PATH=/usr/bin:$PATH

# What the build links, and what the tests look with.
debian_packages=(
    libnl-3-dev libnl-route-3-dev libcap-dev libseccomp-dev libssl-dev libssh2-1-dev libyaml-dev pkg-config
    python3 python3-venv python3-pytest python3-pytest-rerunfailures python3-jwt python3-cryptography python3-yaml python3-jsonschema python3-prometheus-client
    curl iproute2 iputils-ping util-linux
)

install_dependencies() {
    local missing=() package
    for package in "${debian_packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    command -v swift >/dev/null || {
        echo "Swift 6.2 or later is needed: see https://www.swift.org/install/linux/debian/" >&2
        exit 1
    }
    [ ${#missing[@]} -eq 0 ] && return
    [ "$(id -u)" -eq 0 ] || { echo "needs root, or these packages: ${missing[*]}" >&2; exit 1; }
    say "installing ${missing[*]}"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# For some tests: what Debian does not have, beside what it has. Without PyPI those tests are skipped, and say so.
python_tools=$root/.build/python-tools
install_python_tools() {
    local packages="schemathesis==4.32.5 joserfc==1.8.0 chaostoolkit==1.19.0 hera==7.1.0"
    [ "$(cat "$python_tools/installed" 2>/dev/null)" = "$packages" ] && return
    say "installing $packages"
    rm -rf "$python_tools"
    python3 -m venv --system-site-packages "$python_tools" &&
        "$python_tools/bin/pip" install -q --disable-pip-version-check $packages &&
        echo "$packages" > "$python_tools/installed" ||
        { rm -rf "$python_tools"; echo "$packages could not be installed" >&2; }
}

# For some tests: prometheus and promtool out of their package, which would also start a service. Without it those are skipped.
install_prometheus() {
    local folder=$root/.build/prometheus
    if [ ! -x "$folder/usr/bin/promtool" ]; then
        say "unpacking prometheus"
        rm -rf "$folder"
        mkdir -p "$folder"
        (cd "$folder" && apt-get update -qq && apt-get download -qq prometheus 2>/dev/null && dpkg -x prometheus_*.deb . && rm prometheus_*.deb) ||
            echo "prometheus could not be had" >&2
    fi
    export PATH=$folder/usr/bin:$PATH
}

# For the tests of scripts and probes by SSH, unpacked for the same reason.
install_openssh() {
    local folder=$root/.build/openssh
    [ ! -x "$folder/usr/sbin/sshd" ] || return 0
    say "unpacking openssh-server"
    rm -rf "$folder"
    mkdir -p "$folder"
    (cd "$folder" && apt-get update -qq && apt-get download -qq openssh-server openssh-client libwrap0 2>/dev/null &&
        for package in *.deb; do dpkg -x "$package" . && rm "$package" || exit 1; done) ||
        echo "openssh-server could not be had" >&2
}

# What Debian calls essential of two releases, unpacked: other userlands than this machine's, for the programs to run in.
install_userlands() (
    source "$root/scripts/lib/debian.sh"
    for suite in bookworm trixie; do
        folder=$root/.build/userlands/$suite
        [ ! -d "$folder" ] || continue
        say "unpacking a userland of Debian $suite"
        work=$(mktemp -d) tree=$folder.new
        rm -rf "$tree"
        mkdir -p "$tree"
        apt_of $suite apt-get install -qq --yes --no-install-recommends --download-only '?essential' >/dev/null 2>&1 &&
            printf '%s\0' "$work/apt-$suite"/cache/archives/*.deb | xargs -0 -I PACKAGE dpkg-deb -x PACKAGE "$tree" &&
            cp "$tree/usr/share/base-passwd/passwd.master" "$tree/etc/passwd" && mv "$tree" "$folder" ||
            echo "Debian $suite could not be had" >&2
        rm -rf "$tree" "$work"
    done
)

# One after the other by name: all at once would build every tool of the packages that ours depend on, too.
build_product() {
    swift build --package-path "$root" -c release --explicit-target-dependency-import-check error --product "$1"
}

# The agent's programs.
build_programs() {
    local program
    say "building the programs"
    mkdir -p "$programs_directory"
    for program in "${programs[@]}"; do
        build_product "$program"
        strip -o "$programs_directory/$program" "$root/.build/release/$program"
    done
    python3 "$root/Tests/NodeKit/nodekit/images.py" --agent "$programs_directory"
}

# Why this kernel cannot do all of it; nothing if it can. Asked in a network namespace that nobody uses.
missing_here() {
    [ "$(id -u)" -eq 0 ] || { echo "not root"; return; }
    unshare --net sh -c 'ip link add probe type ifb' 2>/dev/null || { echo "this kernel has no ifb"; return; }
    unshare --net tc qdisc add dev lo root netem delay 1ms 2>/dev/null || echo "this kernel has no netem"
}

# python_in_node SECONDS PROGRAM ARGUMENTS...: one of Tests/EndToEnd in the test node, with the agent's programs. It can
# write into /mnt/host, which is $share here.
python_in_node() {
    "$root/scripts/node/build"
    share=$(mktemp -d)
    trap 'rm -rf "$share"' EXIT
    cp -r "$root"/{Tests,daemonset,docs} "$programs_directory" "$share/"
    "$root/scripts/node/vm" run --share "$share" --timeout "$1" -- "
        cd /mnt/host && SQUALL_PROGRAMS=/mnt/host/programs python3 Tests/EndToEnd/$2 ${*:3}"
}
