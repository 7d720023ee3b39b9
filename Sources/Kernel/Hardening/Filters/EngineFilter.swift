internal import Glibc

extension SystemCallFilter {
    /// `squalld`'s engine. Its workers inherit the filter, so their start is in it too; what they do not need of it, they
    /// give up by a filter of their own. It cannot trace a process, read or write another's memory, mount or load code into
    /// the kernel, and of the internet it can make no sockets but those of UDP and TCP.
    package static let engine = SystemCallFilter(
        name: "squalld",
        rules: .runtime + .files + .sockets + .internetSockets + .targets + .clock + .children + .deadMan)
}

extension [SystemCallRule] {
    fileprivate static let files: [SystemCallRule] = [
        .allow("mmap", because: "memory; a worker's loader maps code"),
        .allow("mprotect", because: "guard pages of stacks; a worker's loader relocates code"),
        .allow("openat", because: "journal, /proc, interface files of cgroups"),
        .allow("openat2", because: "cgroups, beneath their root only; a target's directories, inside its root only"),
        .allow("faccessat", because: "see whether the kernel has a feature"),
        .allow("faccessat2", because: "see whether the kernel has a feature"),
        .allow("fstatfs", because: "see what file system a directory is on"),
        .allow("statfs", because: "see what file system a directory is on"),
        .allow("pwrite64", because: "a worker fills a file"),
        .allow("pwritev", because: "journal"),
        .allow("setfsuid", because: "make a file as its directory's owner, in a user namespace"),
        .allow("setfsgid", because: "make a file as its directory's owner, in a user namespace"),
        .allow("fdatasync", because: "journal: commit"),
        .allow("fsync", because: "journal: commit the directory"),
        .allow("fallocate", because: "a worker lets a file grow"),
        .allow("ftruncate", because: "journal: cut off what a crash left half written; free a file that was filled"),
        .allow("mincore", because: "see how much of a worker's file is cached"),
        .allow("flock", because: "one engine a node"),
        .allow("rename", because: "replace a file whole"),
        .allow("renameat", because: "replace a file whole"),
        .allow("renameat2", because: "replace a file whole"),
        .allow("unlink", because: "remove journal segments and stale sockets"),
        .allow("unlinkat", because: "remove a file that was filled"),
        .allow("mkdir", because: "state directory"),
        .allow("mkdirat", because: "state directory"),
        .allow("umask", because: "create sockets and files for root only"),
        .allow("chmod", because: "permissions of the operator's socket"),
        .allow("fchmod", because: "permissions of the worker's sealed copy"),
        .allow("fchmodat", because: "permissions of the operator's socket"),
    ]

    fileprivate static let sockets: [SystemCallRule] = [
        .allow("socket", when: .argument(0, is: AF_UNIX), because: "operators, gateway, runtimes, namespace cookies"),
        .allow("socket", when: .argument(0, is: AF_NETLINK), because: "network faults"),
        .allow("socketpair", when: .argument(0, is: AF_UNIX), because: "the connection to a worker"),
        .allow("bind", because: "the operator's socket; netlink"),
        .allow("listen", because: "the operator's socket"),
        .allow("accept4", because: "the operator's socket"),
        .allow(
            "connect",
            because: "the sockets of squall-runtimes and systemd; workers' sockets, to the peers that they are for"),
        .allow("recvfrom", because: "frames"),
        .allow("recvmsg", because: "netlink, frames"),
        .allow("sendto", because: "netlink, frames"),
        .allow("sendmsg", because: "netlink, frames"),
        .allow("shutdown", because: "frames: no more to come"),
        .allow("getsockopt", because: "the peer's user, a namespace's cookie"),
        .allow("setsockopt", because: "netlink: buffers, extended errors"),
        .allow("getsockname", because: "netlink: the port that the kernel gave"),
    ]

    /// Made in a target's network namespace and connected there, for workers, which can do neither. Not by any other
    /// type or protocol, so none that sees or forges the packets of others.
    fileprivate static let internetSockets: [SystemCallRule] = [AF_INET, AF_INET6].flatMap { family in
        [(SOCK_DGRAM, IPPROTO_UDP), (SOCK_STREAM, IPPROTO_TCP)].map { type, number in
            .allow(
                "socket", when: .argument(0, is: family),
                .argument(1, is: Int32(type.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)),
                .argument(2, is: Int32(number)), because: "a worker's, for one peer")
        }
    }

    fileprivate static let targets: [SystemCallRule] = [
        .allow("setns", because: "enter a target's network namespace on the namespace thread, and return"),
        .allow("unshare", when: .argument(0, is: 0x4000_0000), because: "an empty network namespace to probe"),
        .allow("ioctl", when: .argument(1, is: 0xb703), because: "NS_GET_NSTYPE: see that a file is a namespace"),
        .allow("pidfd_open", because: "hold a target's processes"),
        .allow("pidfd_getfd", because: "free files that the dead-man's process of an earlier engine holds"),
        .allow("pidfd_send_signal", because: "pause, resume and kill processes"),
    ]

    /// Its argument cannot be seen here. Without CAP_SYS_TIME, which the engine has only where the policy allows the fault, it
    /// changes nothing.
    fileprivate static let clock: [SystemCallRule] = [
        .allow("clock_adjtime", because: "step the wall clock, and back")
    ]

    /// `squall-deadman` too is a child, should another one be needed.
    fileprivate static let deadMan: [SystemCallRule] = [
        .allow("setsid", because: "it belongs to no session of ours"),
        .allow("clone", when: .argument(0, is: SIGCHLD), because: "it waits for a file system elsewhere"),
    ]

    /// A child comes to its program under its parent's filter.
    fileprivate static let children: [SystemCallRule] = [
        .allow("clone3", because: "spawn a worker into a cgroup; threads, by glibc"),
        .allow("execveat", because: "a worker's program, by descriptor"),
        .allow("waitid", because: "take a child's exit status"),
        .allow("memfd_create", because: "the sealed copy of the worker's program"),
        .allow("pipe2", because: "a child reports what failed before its exec"),
        .allow("getppid", because: "a child sees that its parent lives"),
        .allow("chdir", because: "a child starts in /"),
        .allow("dup2", because: "a child arranges its descriptors"),
        .allow("dup3", because: "what dup2 becomes on some processors"),
        .allow("close_range", because: "a child keeps nothing that it was not given"),
        .allow("prctl", because: "a child's parent death signal, bounding set, ambient set, no new privileges"),
        .allow("setgroups", because: "a child gives up its groups"),
        .allow("setresgid", because: "a child becomes another user"),
        .allow("setresuid", because: "a child becomes another user"),
        .allow("capget", because: "see what capabilities there are"),
        .allow("capset", because: "a child gives up its capabilities"),
        .allowIfKnown("arch_prctl", because: "a program's start: thread-local storage on x86"),
        .allow("set_tid_address", because: "a program's start"),
        .allow("sched_setaffinity", because: "a worker's threads stay on a CPU each"),
    ]
}
