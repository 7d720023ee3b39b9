internal import CLinux
internal import Glibc
package import LinuxSystem
package import WorkerProtocol

/// The system calls that a worker may make once it knows what to do: those that its task takes. Every other one fails
/// with `EPERM`. It comes on top of the engine's filter, which a worker inherits.
///
/// A worker opens nothing, makes no socket, connects to nobody, and starts no program: what it works on, it was given.
package struct WorkerFilter: Sendable {
    package let rules: [WorkerRule]

    package init(for task: WorkerTask) {
        rules =
            .worker
            + {
                switch task {
                case .cpu: .threads + .processors
                case .memory: []
                case .disk: .disk
                case .io: .disk + .threads + .blocks
                case .cache: .disk + .blocks
                case .network: .threads + .sockets
                case .lookUp: .sockets
                }
            }()
    }

    /// Puts the filter on the calling thread and on all that come from it: call it before there are others. There is no
    /// way back.
    ///
    /// The corresponding system call is `prctl(2)` with `PR_SET_SECCOMP`.
    package func load() throws(SystemCallError) {
        let rules = rules.map(\.raw)
        try systemCall("prctl PR_SET_SECCOMP", on: "worker") { clinux_restrict_calls(rules, rules.count) }
    }
}

/// One line of a worker's filter: a system call, and why.
package struct WorkerRule: Sendable {
    fileprivate let raw: clinux_call_rule
    package let reason: String

    package var call: Int32 { raw.call }

    static func allow(_ call: Int32, because reason: String) -> WorkerRule {
        WorkerRule(raw: clinux_call_rule(call: call, error: 0, argument: 0, mask: 0, value: 0), reason: reason)
    }

    static func allow(
        _ call: Int32, whenArgument argument: Int32, has bits: UInt32, because reason: String
    ) -> WorkerRule {
        WorkerRule(
            raw: clinux_call_rule(call: call, error: 0, argument: argument, mask: bits, value: bits), reason: reason)
    }

    static func allow(
        _ call: Int32, whenArgument argument: Int32, lacks bits: UInt32, because reason: String
    ) -> WorkerRule {
        WorkerRule(
            raw: clinux_call_rule(call: call, error: 0, argument: argument, mask: bits, value: 0), reason: reason)
    }

    static func fail(_ call: Int32, with errno: Errno, because reason: String) -> WorkerRule {
        WorkerRule(
            raw: clinux_call_rule(call: call, error: errno.rawValue, argument: 0, mask: 0, value: 0), reason: reason)
    }
}

extension [WorkerRule] {
    /// What every worker does.
    fileprivate static let worker: [WorkerRule] =
        waiting + [
            .allow(SYS_write, because: "tell the engine"),
            .allow(SYS_exit_group, because: "end"),
            .allow(SYS_brk, because: "glibc grows its heap"),
            .allow(SYS_mmap, whenArgument: 2, lacks: executable, because: "memory, never code"),
            .allow(SYS_mprotect, whenArgument: 2, lacks: executable, because: "guard pages of stacks, never code"),
            .allow(SYS_mremap, because: "realloc moves large blocks"),
            .allow(SYS_munmap, because: "free gives large blocks back"),
            .allow(SYS_madvise, because: "free gives pages back"),
            .allow(SYS_futex, because: "locks, and what is initialised once"),
            .allow(SYS_gettid, because: "locks note their owner"),
            .allow(SYS_close, because: "let go of what it was given"),
            .allow(SYS_getrandom, because: "hash seeds"),
            .allow(SYS_restart_syscall, because: "the kernel resumes an interrupted sleep or poll with it"),
            .allow(SYS_clock_gettime, because: "clocks that the vDSO does not answer, as per-thread CPU time"),
            .allow(SYS_clock_nanosleep, because: "sleep"),
        ]

    #if arch(x86_64)
        fileprivate static let waiting: [WorkerRule] = [
            .allow(SYS_poll, because: "wait for the deadline and for the engine's end")
        ]
    #else
        fileprivate static let waiting: [WorkerRule] = [
            .allow(SYS_ppoll, because: "wait for the deadline and for the engine's end")
        ]
    #endif

    fileprivate static let threads: [WorkerRule] = [
        .allow(SYS_clone, whenArgument: 0, has: threadFlag, because: "start threads, but no processes"),
        .fail(SYS_clone3, with: .notImplemented, because: "its flags cannot be seen: glibc then uses clone"),
        .allow(SYS_set_robust_list, because: "glibc registers each new thread"),
        .allow(SYS_rseq, because: "glibc registers each new thread"),
        .allow(SYS_rt_sigaction, because: "glibc makes ready for threads that change their user"),
        .allow(SYS_rt_sigprocmask, because: "threads are started with signals blocked"),
        .allow(SYS_exit, because: "a thread ends"),
    ]

    /// The affinity is read also by glibc, which sizes its heaps by it.
    fileprivate static let processors: [WorkerRule] = [
        .allow(SYS_sched_getaffinity, because: "see which CPUs there are"),
        .allow(SYS_sched_setaffinity, because: "threads stay on a CPU each"),
    ]

    fileprivate static let disk: [WorkerRule] = [
        .allow(SYS_fstatfs, because: "keep a reserve free"),
        .allow(SYS_fallocate, because: "let the file grow"),
        .allow(SYS_pwrite64, because: "let the file grow, where that cannot be done without writing"),
        .allow(SYS_fdatasync, because: "what was written is to be on the disk"),
        .allow(SYS_ftruncate, because: "give back what others need"),
    ]

    fileprivate static let blocks: [WorkerRule] = [
        .allow(SYS_pread64, because: "read blocks of the file"),
        .allow(SYS_fcntl, because: "go past the kernel's caches"),
    ]

    /// Of those that it was given, and only the peers that they are connected to: it writes, and throws away what comes.
    fileprivate static let sockets: [WorkerRule] = [
        .allow(SYS_getsockopt, because: "what became of a connection"),
        .allow(SYS_recvfrom, because: "throw away what the peer sends"),
    ]

    /// `CLONE_THREAD`
    private static let threadFlag: UInt32 = 0x0001_0000
    private static let executable = UInt32(PROT_EXEC)
}
