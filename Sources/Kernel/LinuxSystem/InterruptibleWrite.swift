internal import Glibc
internal import Synchronization

/// A `write(2)` on a thread of its own, for files of the kernel's that take effect at once and then keep their writer for
/// as long as some work takes. A signal makes the kernel leave that work.
package final class InterruptibleWrite: Sendable {
    private enum State {
        case running(pthread_t?)
        case ended(Errno?)
    }

    private let state = Mutex(State.running(nil))
    private let file: OwnedDescriptor

    package init(_ text: String, to file: consuming OwnedDescriptor) throws(SystemCallError) {
        self.file = file
        _ = Self.letSignalsInterrupt
        let thread = try startThread { [self] in
            var wanted = sigset_t()
            sigemptyset(&wanted)
            sigaddset(&wanted, SIGURG)
            pthread_sigmask(SIG_UNBLOCK, &wanted, nil)
            state.withLock { $0 = .running(pthread_self()) }
            var text = text
            let count = text.withUTF8 { write(self.file.rawValue, $0.baseAddress, $0.count) }
            let failure: Errno? = count < 0 ? .current : nil
            state.withLock { $0 = .ended(failure) }
        }
        pthread_detach(thread)
    }

    package var hasEnded: Bool {
        state.withLock { if case .ended = $0 { true } else { false } }
    }

    /// Why it failed; nil as long as it has not.
    package var failure: Errno? {
        state.withLock { if case .ended(let failure) = $0 { failure } else { nil } }
    }

    /// Lets the kernel leave off what it does, if it does anything. To be repeated until it has ended, since the call may be
    /// just about to begin.
    ///
    /// The corresponding system call is `tgkill(2)`.
    package func interrupt() {
        // The thread cannot end while this has the lock.
        state.withLock { if case .running(let thread?) = $0 { pthread_kill(thread, SIGURG) } }
    }

    /// A signal that is ignored interrupts nothing, and one without a handler ends the process.
    private static let letSignalsInterrupt: Void = {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in }
        sigaction(SIGURG, &action, nil)
    }()
}
