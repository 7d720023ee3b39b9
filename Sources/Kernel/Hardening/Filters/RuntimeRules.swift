internal import Glibc
internal import LinuxSystem

extension SystemCallFilter {
    /// For a program with Dispatch that has its own filter only later: nothing is forbidden by it.
    package static let early = SystemCallFilter(name: "early", rules: [.ignoredPriority], allowsOthers: true)
}

extension SystemCallRule {
    /// It is told that this was done.
    fileprivate static let ignoredPriority = fail(
        "setpriority", with: Errno(rawValue: 0),
        because: "Dispatch asks for it of each thread of another priority, and writes to the log when it may not")
}

extension [SystemCallRule] {
    /// What every Swift program with threads and Dispatch does: glibc, the Swift runtime, libdispatch.
    static let runtime: [SystemCallRule] = [
        .allow("brk", because: "glibc grows its heap"),
        .allow("mremap", because: "realloc moves large blocks"),
        .allow("munmap", because: "free gives large blocks and the stacks of ended threads back"),
        .allow("madvise", because: "free and ended threads give pages back"),

        .allow("clone", when: .argument(0, has: threadFlag), because: "start threads, but no processes"),
        .allow("exit", because: "a thread ends"),
        .allow("exit_group", because: "the program ends"),
        .allow("futex", because: "locks, condition variables, Dispatch"),
        .allow("gettid", because: "locks note their owner, also in a new thread"),
        .allow("rseq", because: "glibc registers each new thread"),
        .allow("set_robust_list", because: "glibc registers each new thread"),
        .allow("prctl", when: .argument(0, is: setName), because: "Dispatch and NIO name their threads"),
        .allow("sched_getaffinity", because: "count the CPUs to size thread pools"),
        .allow("sched_yield", because: "spinning locks of Dispatch and the Swift runtime"),

        .ignoredPriority,

        .allow("rt_sigaction", because: "SIGPIPE is ignored, SIGTERM is handled"),
        .allow("rt_sigprocmask", because: "Dispatch's threads block signals"),
        .allow("rt_sigreturn", because: "a signal handler returns"),
        .allow("rt_sigsuspend", because: "Dispatch parks the main thread"),
        .allow("sigaltstack", because: "the Swift runtime sets up crash reports per thread"),
        .allow("getpid", because: "abort and logs"),
        .allow("tgkill", because: "abort signals its own thread; only CAP_KILL or the same user reaches others"),
        .allow("restart_syscall", because: "the kernel resumes an interrupted sleep or poll with it"),

        .allow("clock_getres", because: "Dispatch, where the vDSO does not answer"),
        .allow("clock_gettime", because: "clocks that the vDSO does not answer, as per-thread CPU time"),
        .allow("clock_nanosleep", because: "sleep"),
        .allow("gettimeofday", because: "logs, where the vDSO does not answer"),
        .allow("getrandom", because: "hash seeds and identifiers"),
        .allow("prlimit64", when: .argument(2, lacks: .max), because: "read limits: stack sizes, open files"),
        .allow("sysinfo", because: "glibc sizes the buffers of qsort by the memory there is"),
        .allow("uname", because: "Swift and NIO ask for the kernel's version"),
        .allow("getuid", because: "compare the own user with a peer's"),
        .allow("geteuid", because: "compare the own user with a peer's"),
        .allow("getgid", because: "compare the own group with a peer's"),
        .allow("getegid", because: "compare the own group with a peer's"),

        .allow("read", because: "files and sockets"),
        .allow("readv", because: "files and sockets"),
        .allow("write", because: "files, sockets, logs on standard error"),
        .allow("writev", because: "sockets: header and body in one call"),
        .allow("pread64", because: "files"),
        .allow("lseek", because: "files"),
        .allow("close", because: "files and sockets"),
        .allow("fcntl", because: "close-on-exec, non-blocking, duplicates"),
        .allow("fstat", because: "file sizes"),
        .allow("newfstatat", because: "file sizes and kinds; what stat and fstat become in glibc"),
        .allow("statx", because: "file sizes and kinds; what stat becomes on some processors"),
        .allow("getdents64", because: "list directories"),
        .allow("readlink", because: "the Swift runtime finds its own program"),
        .allow("readlinkat", because: "the Swift runtime finds its own program"),

        .allow("poll", because: "wait for a descriptor"),
        .allow("ppoll", because: "wait for a descriptor; what poll becomes on some processors"),
        .allow("epoll_create1", because: "event loops of Dispatch and NIO"),
        .allow("epoll_ctl", because: "event loops of Dispatch and NIO"),
        .allow("epoll_wait", because: "event loops of Dispatch and NIO"),
        .allow("ioctl", when: .argument(1, is: 0x541b), because: "FIONREAD: how much Dispatch's source has to read"),
        .allow("epoll_pwait", because: "event loops; what epoll_wait becomes on some processors"),
        .allow("eventfd2", because: "event loops are woken by one"),
        .allow("timerfd_create", because: "timers of Dispatch, NIO and deadlines"),
        .allow("timerfd_settime", because: "timers of Dispatch, NIO and deadlines"),
    ]

    /// What the programs that hold no privilege do beyond it.
    static let unprivileged: [SystemCallRule] =
        runtime + [
            .allow("mmap", when: .argument(2, lacks: executable), because: "memory, never code"),
            .allow("mprotect", when: .argument(2, lacks: executable), because: "guard pages of stacks, never code"),
            .fail("clone3", with: .notImplemented, because: "its flags cannot be seen: glibc then uses clone"),

            .allow("socket", when: .argument(0, is: AF_UNIX), because: "reach the other processes of this agent"),
            .allow("connect", because: "on the only sockets that there are: those of AF_UNIX"),
            .allow("recvfrom", because: "sockets"),
            .allow("recvmsg", because: "sockets, with what is passed along"),
            .allow("sendto", because: "sockets"),
            .allow("sendmsg", because: "sockets"),
            .allow("shutdown", because: "half-close a connection"),
            .allow("getsockopt", because: "errors of connections, the peer's user"),
            .allow("setsockopt", because: "TCP_NODELAY, buffer sizes"),
            .allow("getsockname", because: "NIO asks each channel for its addresses"),
            .allow("getpeername", because: "NIO asks each channel for its addresses"),
        ]

    static let readingFiles: [SystemCallRule] = [
        .allow("openat", when: .argument(2, lacks: anyWriting), because: "read files, write none")
    ]

    /// `CLONE_THREAD`
    private static let threadFlag: UInt64 = 0x0001_0000
    /// `PR_SET_NAME`
    private static let setName: Int32 = 15
    private static let executable = UInt64(PROT_EXEC)
    /// `O_TMPFILE` and `O_APPEND` need one of the first two.
    private static let anyWriting = UInt64(O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)
}
