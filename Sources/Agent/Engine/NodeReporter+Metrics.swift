import AgentAPI
import Audit
import ChaosModel
import Faults
import Sessions

extension NodeReporter {
    /// What the agent does and has done, as Prometheus reads it: OpenMetrics 1.0.
    func metrics() async -> String {
        let counts = await scheduler.counts
        var states: [(String, Int)] = []
        for state in SessionState.allCases where state != .ended {
            states.append((state.rawValue, await scheduler.count(of: state)))
        }
        var text = MetricsText()
        text.add("squall_build", .info, "The agent that runs.", by: "version", [(agentVersion, 1)])
        text.add(
            "squall_ready", .gauge, "1 when the node is healthy, as /readyz says it.",
            await reasonsNotReady().isEmpty ? 1 : 0)
        text.add(
            "squall_sessions", .gauge, "Live sessions. Those that are stuck cannot be undone now.", by: "state", states)
        text.add(
            "squall_sessions_opened", .counter, "Sessions opened since the engine was started.", by: "fault",
            FaultCatalogue.all.map { ($0.kind, counts.opened[$0.kind] ?? 0) })
        text.add(
            "squall_sessions_ended", .counter, "Sessions that are over, by the reason.", by: "ending",
            Ending.allCases.map { ($0.rawValue, counts.ended[$0] ?? 0) })
        text.add(
            "squall_undo_attempts", .counter, "Attempts to undo a step, by what they found.", by: "outcome",
            UndoOutcome.words.map { ($0, counts.undone[$0] ?? 0) })
        text.add("squall_journal_bytes", .gauge, "The length of the journal.", await scheduler.journalLength)
        text.add(
            "squall_audit_sequence", .gauge,
            "The number of the audit log's last event: it only grows, unless the log was cut.",
            Int(audit.head.sequence))
        return text.whole
    }
}

/// Text that is built up metric by metric.
private struct MetricsText {
    enum Kind: String {
        case gauge, counter, info
    }

    private var lines: [String] = []

    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: Int) {
        describe(name, kind, help)
        lines.append("\(name) \(value)")
    }

    /// - Parameter label: The name of the one label. Values need no escape.
    mutating func add(_ name: String, _ kind: Kind, _ help: String, by label: String, _ samples: [(String, Int)]) {
        describe(name, kind, help)
        let suffix =
            switch kind {
            case .gauge: ""
            case .counter: "_total"
            case .info: "_info"
            }
        for (value, count) in samples { lines.append("\(name)\(suffix){\(label)=\"\(value)\"} \(count)") }
    }

    private mutating func describe(_ name: String, _ kind: Kind, _ help: String) {
        lines += ["# TYPE \(name) \(kind.rawValue)", "# HELP \(name) \(help)"]
    }

    var whole: String { (lines + ["# EOF", ""]).joined(separator: "\n") }
}
