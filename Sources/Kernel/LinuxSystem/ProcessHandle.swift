internal import CLinux
import Glibc

/// How a process ended.
package enum ProcessExit: Hashable, Sendable {
    case exited(Int32)
    case killed(signal: Int32)

    package init(code: Int32, status: Int32) {
        self = code == Int32(CLD_EXITED) ? .exited(status) : .killed(signal: status)
    }

    /// For people.
    package var words: String {
        switch self {
        case .exited(let status): "exited with status \(status)"
        case .killed(let signal): "killed by signal \(signal)"
        }
    }
}

/// A process that cannot be confused with a later one that reuses its number.
///
/// The corresponding system call is `pidfd_open(2)`.
package struct ProcessHandle: ~Copyable, Sendable {
    package let id: Int32
    package let descriptor: OwnedDescriptor

    package init(openingProcess id: Int32) throws(SystemCallError) {
        let raw = try systemCall("pidfd_open", on: "process \(id)") { clinux_pidfd_open(id, 0) }
        self.id = id
        self.descriptor = OwnedDescriptor(adopting: raw)
    }

    package init(id: Int32, adopting pidfd: consuming OwnedDescriptor) {
        self.id = id
        self.descriptor = pidfd
    }

    /// A descriptor of our own for what the process has open under this number.
    ///
    /// The corresponding system call is `pidfd_getfd(2)`, which needs `CAP_SYS_PTRACE`.
    package func duplicate(descriptor number: Int32) throws(SystemCallError) -> OwnedDescriptor {
        let raw = descriptor.rawValue
        return OwnedDescriptor(
            adopting: try systemCall("pidfd_getfd", on: "descriptor \(number) of process \(id)") {
                clinux_pidfd_getfd(raw, number)
            })
    }

    /// The corresponding system call is `pidfd_send_signal(2)`.
    package func send(signal: Int32) throws(SystemCallError) {
        let raw = descriptor.rawValue
        try systemCall("pidfd_send_signal \(signal)", on: "process \(id)") { clinux_pidfd_send_signal(raw, signal) }
    }

    /// Kills the process and waits at most so long for its end. True when it has ended, now or before.
    package func kill(waitingAtMost limit: Duration) throws(SystemCallError) -> Bool {
        do throws(SystemCallError) {
            try send(signal: SIGKILL)
        } catch {
            if error.errno != .noProcess { throw error }
        }
        return waitUntilEnded(atMost: limit)
    }

    /// Whether the process still runs; a zombie does not.
    package var isRunning: Bool {
        var poll = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
        return Glibc.poll(&poll, 1, 0) == 0
    }

    /// Waits at most so long for the process to end, a child or not. True when it has.
    ///
    /// The corresponding system call is `poll(2)` on the pidfd.
    package func waitUntilEnded(atMost limit: Duration) -> Bool {
        let deadline = BootInstant.now + limit
        while true {
            let left = max(0, (deadline - BootInstant.now).wholeNanoseconds / 1_000_000)
            var poll = pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0)
            let ready = Glibc.poll(&poll, 1, Int32(clamping: left))
            if ready > 0 { return true }
            if ready == 0 && left == 0 { return false }
        }
    }

    /// Takes the exit status of a child that has ended; nil while it runs.
    ///
    /// The corresponding system call is `waitid(2)` with `P_PIDFD`.
    package func reap() throws(SystemCallError) -> ProcessExit? {
        let raw = descriptor.rawValue
        var code: Int32 = 0
        var status: Int32 = 0
        let process = try systemCall("waitid", on: "process \(id)") { clinux_wait_pidfd(raw, 1, &code, &status) }
        return process == 0 ? nil : ProcessExit(code: code, status: status)
    }
}
