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

    private struct State {
        var head = AuditHead.none
        var failure: String?
        var waiting = 0
        var lost: Int64 = 0
        var isSynchronizing = false
        var buckets: [String: Bucket] = [:]
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
        let isWritten = state.withLock { state in
            // Names of tenants are known to be few; whoever is none shares one.
            let isWritten = state.buckets[asker, default: Bucket()].take(at: .now)
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
        let lost = state.withLock { state in
            defer { state.lost = 0 }
            return state.lost
        }
        do throws(AuditError) {
            if lost > 0 { try writer.append(AuditEvent(.lost, [("count", .integer(lost))]), at: wallMilliseconds()) }
            try writer.synchronize()
            state.withLock { state in
                state.failure = nil
                state.head = writer.head ?? .none
            }
        } catch {
            state.withLock { state in
                state.failure = error.description
                state.lost += lost
            }
        }
    }

    private func write(_ event: AuditEvent, at time: Int64) {
        let lost = state.withLock { state in
            defer { state.lost = 0 }
            return state.lost
        }
        do throws(AuditError) {
            if lost > 0 { try writer.append(AuditEvent(.lost, [("count", .integer(lost))]), at: time) }
        } catch {
            state.withLock { $0.lost += lost }
        }
        do throws(AuditError) {
            try writer.append(event, at: time)
            state.withLock { state in
                state.failure = nil
                state.waiting -= 1
                state.head = writer.head ?? .none
            }
        } catch {
            state.withLock { state in
                state.failure = error.description
                state.waiting -= 1
                state.lost += 1
            }
        }
        synchronizeLater()
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

/// So many at once, and so many more each second.
private struct Bucket {
    private static let depth = 100.0
    private static let perSecond = 5.0

    private var level = depth
    private var filled = BootInstant.now

    mutating func take(at now: BootInstant) -> Bool {
        level = min(Self.depth, level + (now - filled) / .seconds(1) * Self.perSecond)
        filled = now
        guard level >= 1 else { return false }
        level -= 1
        return true
    }
}
