import Dispatch
import Glibc
import Synchronization

/// SIGINT and SIGTERM, taken by a thread that waits for them, so that a command can end its session first.
/// Nobody listening, or a second signal, ends the program at once.
enum Interruption {
    private static let listener = Mutex<(@Sendable () -> Void)?>(nil)

    /// Called on the first thread before there is a second: the signals must be blocked in every thread,
    /// and a new thread inherits what the one that made it blocks.
    static func takeOver() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGINT)
        sigaddset(&signals, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        DispatchQueue(label: "squall.signals").async { [signals] in
            var signals = signals
            while true {
                var number: Int32 = 0
                guard sigwait(&signals, &number) == 0 else { continue }
                arrived()
            }
        }
    }

    /// The first signal from now on is told to `listener` instead of ending the program.
    static func tell(_ listener: @escaping @Sendable () -> Void) {
        Self.listener.withLock { $0 = listener }
    }

    private static func arrived() {
        let first = listener.withLock { listener in
            defer { listener = nil }
            return listener
        }
        guard let first else { _exit(ExitStatus.interrupted.rawValue) }
        first()
    }
}
