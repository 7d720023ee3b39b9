# Sourced by scripts/package/build after common.sh: the programs of arm64, made on x86-64.
#
# A compiler reads only modules of its own version, so it and the other processor's standard library come from one release:
# Debian's sid has both. What else the programs link is of a stable release. The compiler wants a newer C library than this
# machine may have: it runs in a root of its own, in which this repository is where it is here.
cross=$root/.build/arm64
cross_root=$cross/root
swift_suite=sid
library_suite=trixie
qemu_suite=bookworm

# What SwiftPM has to know. Of libzstd libcrypto's static library needs something, which that of Debian 12 does not.
write_swift_sdk() {
    local bundle=$1/sdks/debian.artifactbundle
    mkdir -p "$bundle/arm64"
    cat > "$bundle/info.json" <<'JSON'
{"schemaVersion": "1.0", "artifacts": {"debian-arm64": {"type": "swiftSDK", "version": "1", "variants": [{"path": "arm64"}]}}}
JSON
    # Static modules for all: it is the static library that is linked.
    cat > "$bundle/arm64/swift-sdk.json" <<'JSON'
{
    "schemaVersion": "4.0",
    "targetTriples": {
        "aarch64-unknown-linux-gnu": {
            "sdkRootPath": "/sysroot",
            "swiftResourcesPath": "/sysroot/usr/lib/swift_static",
            "swiftStaticResourcesPath": "/sysroot/usr/lib/swift_static",
            "toolsetPaths": ["toolset.json"]
        }
    }
}
JSON
    cat > "$bundle/arm64/toolset.json" <<'JSON'
{
    "schemaVersion": "1.0",
    "rootPath": "/usr/libexec/swift/bin",
    "swiftCompiler": {"extraCLIOptions": ["-use-ld=lld"]},
    "linker": {"extraCLIOptions": ["-lzstd"]}
}
JSON
}

arm64_apt_of() { apt_processor=arm64 apt_of "$@"; }

# The source's, without the number of its build on one processor.
version_in() { awk '/^Version:/ && !seen++ { sub(/\+b[0-9]+$/, "", $2); print $2 }'; }

unpack() { printf '%s\0' "$1"/*.deb | xargs -0 -P "$(nproc)" -I PACKAGE dpkg-deb -x PACKAGE "$2"; }

# The root with the compiler, and in its /sysroot what the programs are made of.
install_cross_compiler() (
    source "$root/scripts/lib/debian.sh"
    stamp=$({ declare -f install_cross_compiler write_swift_sdk arm64_apt_of unpack; echo "$swift_suite $library_suite"; } | sha256sum)
    [ "$(cat "$cross_root/stamp" 2>/dev/null)" != "$stamp" ] || return 0
    [ "$(id -u)" -eq 0 ] || { echo "needs root, for a root of the compiler's own" >&2; exit 1; }
    say "fetching Swift of Debian $swift_suite for x86-64 and arm64: 1.3 GB"
    work=$cross/work tree=$cross/root.new
    rm -rf "$work" "$tree" "$cross_root"
    mkdir -p "$work/swift" "$tree/sysroot"
    trap 'rm -rf "$work" "$tree"' EXIT
    here=$(apt_of $swift_suite apt-cache show swiftlang | version_in) || true
    there=$(arm64_apt_of $swift_suite apt-cache show swiftlang | version_in) || true
    [ -n "$here" ] && [ "$here" = "$there" ] || {
        echo "Debian $swift_suite has Swift ${here:-not at all} for x86-64 and ${there:-not at all} for arm64: they have to be the same" >&2
        exit 1
    }
    apt_of $swift_suite apt-get install -qq --yes --no-install-recommends --download-only '?essential' swiftlang libc6-dev git > /dev/null
    (cd "$work/swift" && arm64_apt_of $swift_suite apt-get download -qq swiftlang)
    arm64_apt_of $library_suite apt-get install -qq --yes --no-install-recommends --download-only \
        libc6-dev libstdc++-14-dev libnl-3-dev libnl-route-3-dev libcap-dev libseccomp-dev libssl-dev libssh2-1-dev \
        libyaml-dev zlib1g-dev libzstd-dev > /dev/null

    say "unpacking it"
    # First the links from /bin, /lib and /sbin.
    dpkg-deb -x "$work/apt-$swift_suite"/cache/archives/base-files_*.deb "$tree"
    unpack "$work/apt-$swift_suite/cache/archives" "$tree"
    unpack "$work/apt-$library_suite-arm64/cache/archives" "$tree/sysroot"
    ln -s usr/lib "$tree/sysroot/lib"
    dpkg-deb --fsys-tarfile "$work"/swift/swiftlang_*.deb |
        tar -x -C "$tree/sysroot/usr/lib" --strip-components 5 ./usr/libexec/swift/lib/{swift_static,clang}
    # SwiftPM takes from there what to look for, and does not know that it is in /sysroot.
    sed -i 's,^\([a-z_]*\)=/usr,\1=/sysroot/usr,' "$tree"/sysroot/usr/lib/aarch64-linux-gnu/pkgconfig/*.pc
    rm -rf "$tree"/usr/share/{doc,man,info,locale} "$tree"/usr/libexec/gcc \
        "$tree"/usr/libexec/swift/bin/{clangd,docc,lldb*,sourcekit-lsp,wasmkit} "$tree"/usr/libexec/swift/lib/liblldb*
    write_swift_sdk "$tree"
    echo "$stamp" > "$tree/stamp"
    mv "$tree" "$cross_root"
)

# in_cross_root COMMAND...: what it mounts and starts ends with it.
in_cross_root() {
    timeout --kill-after 10 2h unshare --mount --propagation private --pid --fork --kill-child sh -euc '
        tree=$1 repository=$2
        shift 2
        mkdir -p "$tree$repository"
        mount --rbind "$repository" "$tree$repository"
        mount --rbind /dev "$tree/dev"
        mount -t proc proc "$tree/proc"
        cd /
        exec env -i PATH=/usr/libexec/swift/bin:/usr/bin HOME=/root LANG=C.UTF-8 \
            PKG_CONFIG_PATH=/sysroot/usr/lib/aarch64-linux-gnu/pkgconfig /usr/sbin/chroot "$tree" "$@"
    ' sh "$cross_root" "$root" "$@"
}

# What runs programs of arm64 here, one by one and in this machine's kernel.
install_arm64_emulator() (
    source "$root/scripts/lib/debian.sh"
    [ ! -x "$cross/qemu-aarch64-static" ] || return 0
    say "unpacking qemu-aarch64-static"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    cd "$work"
    apt_of $qemu_suite apt-get download -qq qemu-user-static
    dpkg-deb --fsys-tarfile qemu-user-static_*.deb | tar -x --strip-components 3 ./usr/bin/qemu-aarch64-static
    mv qemu-aarch64-static "$cross/"
)

run_arm64() { timeout 60 "$cross/qemu-aarch64-static" "$@"; }

# As build_programs, into .build/arm64/programs.
build_arm64_programs() {
    local program release=$cross/build/release
    mkdir -p "$cross"
    install_cross_compiler
    install_arm64_emulator
    say "building the programs for arm64 with $(in_cross_root swiftc --version 2>/dev/null | sed -n '1s/ (.*//p')"
    programs_directory=$cross/programs
    mkdir -p "$programs_directory"
    # By this machine's Swift, which has git and the network.
    swift package --package-path "$root" --scratch-path "$cross/build" resolve
    for program in "${programs[@]}"; do
        in_cross_root swift build --package-path "$root" --scratch-path "$cross/build" --disable-automatic-resolution \
            --swift-sdks-path /sdks --swift-sdk debian-arm64 -c release --product "$program"
        in_cross_root llvm-objcopy --strip-all "$release/$program" "$programs_directory/$program"
    done
    python3 "$root/Tests/NodeKit/nodekit/images.py" --agent "$programs_directory"
}
