import ChaosModel
import Dispatch
import Journal
import LinuxSystem
import Synchronization

/// A line for whoever reads the container's log.
func log(_ message: String, _ level: LogLevel = .info) {
    AgentLog.write(message, level)
}

/// What the log tells of sessions: their course, and what goes wrong with them. The rest is in their events.
///
/// Lines are written on a queue of their own: whoever reads too slowly holds up no session, and misses some.
final class SessionLog: Sendable {
    private static let mostWaiting = 1024
    private static let rate = Rate(atOnce: 1000, perSecond: 100)

    private let queue = DispatchQueue(label: "squall.log")
    private let state = Mutex((waiting: 0, dropped: 0, bucket: TokenBucket(rate, at: .now)))

    func tell(_ event: SessionEvent, of session: OpenedSession) {
        let level: LogLevel
        switch event.kind {
        case "note", "effect", "step-performed", "step-undone", "hosts-looked-up", "worker-reached": return
        case "step-failed", "step-drifted", "undo-failed", "stop-failed", "journal-failed", "worker-oom-killed":
            level = .warning
        default: level = .info
        }
        guard let droppedBefore = state.withLock({ Self.makeRoom(in: &$0) }) else { return }
        queue.async { [self] in
            if droppedBefore > 0 {
                log("\(droppedBefore) lines about sessions were left out: too many at once", .warning)
            }
            AgentLog.write(
                "session \(session.id) \(event.kind): \(event.message)", level,
                [
                    ("session", session.id.text), ("group", session.group?.id.text), ("event", event.kind),
                    ("tenant", session.tenant.name), ("fault", session.fault), ("trace_id", session.trace?.trace),
                    ("span_id", session.trace?.span),
                ])
            state.withLock { $0.waiting -= 1 }
        }
    }

    /// How many lines were left out before this one; nil when it is, too.
    private static func makeRoom(in state: inout (waiting: Int, dropped: Int, bucket: TokenBucket)) -> Int? {
        guard state.waiting < mostWaiting, state.bucket.take(rate, at: .now) else {
            state.dropped += 1
            return nil
        }
        state.waiting += 1
        defer { state.dropped = 0 }
        return state.dropped
    }

    /// Waits until all is written, or somebody holds it up.
    func flush() {
        let written = DispatchGroup()
        queue.async(group: written) {}
        _ = written.wait(timeout: .now() + 1)
    }
}
