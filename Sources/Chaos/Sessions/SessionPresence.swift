internal import Dispatch
internal import Synchronization

/// Whether there is any session, for a thread that has nothing to do without.
package final class SessionPresence: Sendable {
    private let isAny = Mutex(false)
    private let began = DispatchSemaphore(value: 0)

    func set(_ isAny: Bool) {
        let begins = self.isAny.withLock { current in
            defer { current = isAny }
            return isAny && !current
        }
        if begins { began.signal() }
    }

    /// Returns at once when there is one.
    package func waitUntilAny() {
        while !isAny.withLock({ $0 }) { began.wait() }
    }
}
