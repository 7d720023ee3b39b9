import ChaosModel
import Journal
import LinuxSystem

/// A line for whoever reads the container's log.
func log(_ message: String, _ level: LogLevel = .info) {
    AgentLog.write(message, level)
}

/// What the log tells of a session: its course, and what goes wrong with it. The rest is in its events.
func log(_ event: SessionEvent, of session: OpenedSession) {
    let level: LogLevel
    switch event.kind {
    case "note", "effect", "step-performed", "step-undone", "hosts-looked-up", "worker-reached": return
    case "step-failed", "step-drifted", "undo-failed", "stop-failed", "journal-failed", "worker-oom-killed":
        level = .warning
    default: level = .info
    }
    AgentLog.write(
        "session \(session.id) \(event.kind): \(event.message)", level,
        [
            ("session", session.id.text), ("group", session.group?.id.text), ("event", event.kind),
            ("tenant", session.tenant.name), ("fault", session.fault), ("trace_id", session.trace?.trace),
            ("span_id", session.trace?.span),
        ])
}
