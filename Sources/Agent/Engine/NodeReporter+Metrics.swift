import AgentAPI
import Audit
import ChaosModel
import Faults
import Sessions

extension NodeReporter {
    /// What the agent does and has done, as Prometheus reads it: OpenMetrics 1.0. Counters begin at 0 with each engine.
    func metrics() async -> String {
        // Nobody else may ask for anything.
        await gate.look()
        var text = MetricsText()
        text.add("squall_build", .info, "The agent that runs.", by: "version", [(agentVersion, 1)])
        text.add("squall_start_time_seconds", .gauge, "When the engine was started, since 1970.", Int(startedAtWall))
        text.add(
            "squall_ready", .gauge, "1 when the node is healthy, as /readyz says it.",
            await reasonsNotReady().isEmpty ? 1 : 0)
        text.add(
            "squall_halted", .gauge, "1 while an operator has halted the node.", await scheduler.halt == nil ? 0 : 1)
        await addSessions(to: &text)
        text.add(
            "squall_requests_refused", .counter, "Requests that were refused, by the problem's code.", by: "code",
            tally.refusals.map { ($0.rawValue, $1) })
        text.add(
            "squall_replay_tokens", .gauge, "Tokens that have been used and are still remembered.",
            await scheduler.rememberedTokens)
        text.add("squall_journal_bytes", .gauge, "The length of the journal.", await scheduler.journalLength)
        text.add(
            "squall_audit_sequence", .gauge,
            "The number of the audit log's last event: it only grows, unless the log was cut.",
            Int(audit.head.sequence))
        await addConfiguration(to: &text)
        return text.whole
    }

    private func addSessions(to text: inout MetricsText) async {
        let counts = await scheduler.counts
        let live = await scheduler.liveCounts
        let faults = FaultCatalogue.all.map { $0.kind }
        text.add(
            "squall_sessions", .gauge, "Live sessions. Those that are stuck cannot be undone now.",
            by: ["fault", "state"],
            Set(faults).union(live.keys).sorted().flatMap { fault in
                SessionState.allCases.filter { $0 != .ended }.map { ([fault, $0.rawValue], live[fault]?[$0] ?? 0) }
            })
        text.add(
            "squall_sessions_opened", .counter, "Sessions opened since the engine was started.", by: "fault",
            faults.map { ($0, counts.opened[$0] ?? 0) })
        text.add(
            "squall_sessions_ended", .counter, "Sessions that are over, by the reason.", by: "ending",
            Ending.allCases.map { ($0.rawValue, counts.ended[$0] ?? 0) })
        text.add(
            "squall_apply_seconds",
            "From when a session is on disk until its fault is in effect, of faults that were used.",
            by: "fault", counts.applied)
        text.add(
            "squall_revert_seconds", "From when a session is told to end until its fault is taken back.", by: "fault",
            counts.reverted)
        text.add(
            "squall_undo_attempts", .counter, "Attempts to undo a step, by what they found.", by: "outcome",
            UndoOutcome.words.map { ($0, counts.undone[$0] ?? 0) })
        text.add(
            "squall_worker_exits", .counter, "Workers of sessions that ended, by how.", by: "how",
            Scheduler.WorkerExit.allCases.map { ($0.rawValue, counts.workerExits[$0] ?? 0) })
        text.add(
            "squall_orphans_found", .gauge, "Sessions of an engine before this one that it had to take back.",
            counts.orphans)
    }

    private func addConfiguration(to text: inout MetricsText) async {
        let tls = await tls?.state
        let problems = [
            ("keys", await gate.keysFailure), ("policy", await gate.policyFailure), ("tls", tls?.problem),
        ]
        text.add(
            "squall_configuration_errors", .gauge,
            "1 while that cannot be used as it is, and what was good before is in force.", by: "of",
            problems.map { ($0.0, $0.1 == nil ? 0 : 1) })
        if let expires = tls?.expires {
            text.add(
                "squall_tls_not_after_timestamp_seconds", .gauge, "When the server's certificate expires, since 1970.",
                Int(expires))
        }
    }
}

/// Text that is built up metric by metric.
private struct MetricsText {
    enum Kind: String {
        case gauge, counter, info, histogram
    }

    private var lines: [String] = []

    mutating func add(_ name: String, _ kind: Kind, _ help: String, _ value: Int) {
        describe(name, kind, help)
        lines.append("\(name) \(value)")
    }

    mutating func add(_ name: String, _ kind: Kind, _ help: String, by label: String, _ samples: [(String, Int)]) {
        add(name, kind, help, by: [label], samples.map { ([$0], $1) })
    }

    /// - Parameter labels: Their names. Values need no escape.
    mutating func add(
        _ name: String, _ kind: Kind, _ help: String, by labels: [String], _ samples: [([String], Int)]
    ) {
        describe(name, kind, help)
        let suffix =
            switch kind {
            case .gauge, .histogram: ""
            case .counter: "_total"
            case .info: "_info"
            }
        for (values, count) in samples {
            let pairs = zip(labels, values).map { "\($0)=\"\($1)\"" }.joined(separator: ",")
            lines.append("\(name)\(suffix){\(pairs)} \(count)")
        }
    }

    mutating func add(_ name: String, _ help: String, by label: String, _ histograms: [String: DurationHistogram]) {
        describe(name, .histogram, help)
        for (value, histogram) in histograms.sorted(by: { $0.key < $1.key }) {
            let pair = "\(label)=\"\(value)\""
            for (bound, count) in histogram.cumulative {
                lines.append("\(name)_bucket{\(pair),le=\"\(bound)\"} \(count)")
            }
            lines += [
                "\(name)_bucket{\(pair),le=\"+Inf\"} \(histogram.count)", "\(name)_count{\(pair)} \(histogram.count)",
                "\(name)_sum{\(pair)} \(histogram.seconds)",
            ]
        }
    }

    private mutating func describe(_ name: String, _ kind: Kind, _ help: String) {
        lines += ["# TYPE \(name) \(kind.rawValue)", "# HELP \(name) \(help)"]
    }

    var whole: String { (lines + ["# EOF", ""]).joined(separator: "\n") }
}
