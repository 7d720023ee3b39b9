internal import AgentAPI
internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// Takes a question back, from another thread than the one that waits for its answer.
package final class Withdrawal: Sendable {
    private enum State {
        case idle
        case waiting(Int32)
        case withdrawn
    }

    private let state = Mutex(State.idle)

    package init() {}

    /// Whoever waits for the answer sees the connection end.
    ///
    /// The corresponding system call is `shutdown(2)`.
    package func withdraw() {
        state.withLock { state in
            if case .waiting(let descriptor) = state { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }
            state = .withdrawn
        }
    }

    /// False when the question is withdrawn already. The stream stays open until `end`.
    func begin(on stream: borrowing UnixStream) -> Bool {
        let descriptor = stream.descriptor.rawValue
        return state.withLock { state in
            if case .withdrawn = state { return false }
            state = .waiting(descriptor)
            return true
        }
    }

    func end() {
        state.withLock { $0 = .withdrawn }
    }
}
