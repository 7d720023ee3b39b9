import ChaosModel
import Dispatch
import LinuxSystem
import Synchronization

/// What was decided on this node, for whoever asks later. Nobody waits for it: events are written one after the other on a queue
/// of its own, and are on the disk a second later at the most.
package final class AuditLog: Sendable {
    /// Below the agent's state directory.
    package static let directoryName = "audit"
    /// So many files make up the whole.
    package static let mostFiles = 8
    package static let standardBytes = 64 << 20
    /// Events that wait for a slow disk; more are lost, and counted.
    private static let mostWaiting = 10_000
    /// Refusals of one asker that are written.
    private static let refusals = Rate(atOnce: 100, perSecond: 5)

    private struct State {
        var head = AuditHead.none
        var failure: String?
        var waiting = 0
        var lost: Int64 = 0
        var isSynchronizing = false
        var buckets: [String: TokenBucket] = [:]
    }

    private let queue = DispatchQueue(label: "squall.audit")
    /// On the queue only.
    private nonisolated(unsafe) let writer: AuditWriter
    private let state = Mutex(State())

    /// - Parameter bytes: What all files together may have.
    package init(in stateDirectory: String, bytes: Int = standardBytes) {
        writer = AuditWriter(
            directory: "\(stateDirectory)/\(Self.directoryName)", fileBytes: max(4096, bytes / Self.mostFiles),
            mostFiles: Self.mostFiles)
    }

    /// The last event that was written.
    package var head: AuditHead { state.withLock { $0.head } }

    /// Why nothing can be written; nil when it can. What could not be for a moment is tried again before this says so.
    package func trouble() async -> String? {
        guard state.withLock({ $0.failure }) != nil else { return nil }
        return await withCheckedContinuation { continuation in
            queue.async {
                self.tryAgain()
                continuation.resume(returning: self.state.withLock { $0.failure })
            }
        }
    }

    package func record(_ event: AuditEvent) {
        let time = wallMilliseconds()
        let isTaken = state.withLock { state in
            guard state.waiting < Self.mostWaiting else {
                state.lost += 1
                return false
            }
            state.waiting += 1
            return true
        }
        if isTaken { queue.async { self.write(event, at: time) } }
    }

    /// Records a refusal. Of one asker's only some are written in a short time: to be refused must not push out of the log what
    /// was allowed.
    ///
    /// - Parameter asker: The tenant, or what all share who are none.
    package func recordDenial(_ event: AuditEvent, of asker: String) {
        let now = BootInstant.now
        let isWritten = state.withLock { state in
            // Names of tenants are known to be few; whoever is none shares one.
            let full = TokenBucket(Self.refusals, at: now)
            let isWritten = state.buckets[asker, default: full].take(Self.refusals, at: now)
            if !isWritten { state.lost += 1 }
            return isWritten
        }
        if isWritten { record(event) }
    }

    /// Returns when all that was recorded before is on the disk, or could not be written.
    package func flush() {
        queue.sync { synchronize() }
    }

    private func tryAgain() {
        do throws(AuditError) {
            try writeLost(at: wallMilliseconds())
            try writer.synchronize()
            tellSuccess()
        } catch {
            state.withLock { $0.failure = error.description }
        }
    }

    private func tellSuccess() {
        state.withLock { state in
            state.failure = nil
            state.head = writer.head ?? .none
        }
    }

    /// Says how many events could not be written since it was last said.
    private func writeLost(at time: Int64) throws(AuditError) {
        let lost = state.withLock { $0.lost }
        guard lost > 0 else { return }
        try writer.append(AuditEvent(.lost, [("count", .integer(lost))]), at: time)
        state.withLock { $0.lost -= lost }
    }

    private func write(_ event: AuditEvent, at time: Int64) {
        defer {
            state.withLock { $0.waiting -= 1 }
            synchronizeLater()
        }
        do throws(AuditError) {
            try writeLost(at: time)
        } catch {
            // They are counted as before. After half a line another file is begun, where the event may find room.
            state.withLock { $0.failure = error.description }
        }
        do throws(AuditError) {
            try writer.append(event, at: time)
            tellSuccess()
        } catch {
            state.withLock { state in
                state.failure = error.description
                state.lost += 1
            }
        }
    }

    private func synchronizeLater() {
        let isAlreadyToBe = state.withLock { state in
            defer { state.isSynchronizing = true }
            return state.isSynchronizing
        }
        if !isAlreadyToBe { queue.asyncAfter(deadline: .now() + 1) { self.synchronize() } }
    }

    private func synchronize() {
        state.withLock { $0.isSynchronizing = false }
        do throws(AuditError) {
            try writer.synchronize()
        } catch {
            state.withLock { $0.failure = error.description }
        }
    }
}
