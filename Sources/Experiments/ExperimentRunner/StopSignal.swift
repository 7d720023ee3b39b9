import ChaosModel
import Dispatch
import Synchronization

/// Tells everybody who waits that the experiment is to stop, and why.
package final class StopSignal: Sendable {
    package enum Reason: Hashable, Sendable {
        /// By a signal, or whoever runs it.
        case interrupted
        /// It has lasted for as long as it may.
        case timeout
        case probeFailed(String)
        case stepFailed(String, because: String)

        /// Whether one of these steps is why.
        func isOf(_ steps: Set<String>) -> Bool {
            if case .stepFailed(let name, _) = self { steps.contains(name) } else { false }
        }

        package var words: String {
            switch self {
            case .interrupted: "interrupted"
            case .timeout: "it has lasted for as long as it may"
            case .probeFailed(let name): "probe \"\(name)\" failed"
            case .stepFailed(let name, let reason): "step \"\(name)\" failed: \(reason)"
            }
        }
    }

    private let first = Mutex<Reason?>(nil)
    private let gate = DispatchGroup()

    package init() { gate.enter() }

    /// The first reason counts.
    package func stop(_ reason: Reason) {
        let isFirst = first.withLock { first in
            defer { first = first ?? reason }
            return first == nil
        }
        if isFirst { gate.leave() }
    }

    package var reason: Reason? { first.withLock { $0 } }

    /// Waits for so long, or until it stops.
    ///
    /// - Returns: Whether it stops.
    @discardableResult
    package func wait(_ duration: Duration) -> Bool {
        if duration <= .zero { return reason != nil }
        return gate.wait(timeout: .now() + duration.seconds) == .success
    }
}
