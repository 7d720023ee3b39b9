import ChaosModel

/// A session's report, as the API tells it, in words.
struct SessionText {
    let report: JSON

    private func text(_ name: String) -> String? { report[name]?.stringValue }

    var id: String { text("id") ?? "?" }
    var state: String { text("state") ?? "?" }
    var fault: String { text("fault") ?? "?" }
    var tenant: String { text("tenant") ?? "?" }
    var ending: String? { text("ending") }
    var hasEnded: Bool { state == "ended" }
    /// An undo keeps failing: it is tried again, but somebody should look.
    var isStuck: Bool { state == "stuck" }
    var isVerified: Bool { report["revertVerified"]?.booleanValue ?? false }

    var remaining: Duration? { report["remainingSeconds"]?.doubleValue.map { .seconds($0) } }

    var target: String { Self.target(report["target"]) }

    static func target(_ json: JSON?) -> String { json.flatMap { TargetFacts($0) }?.summary ?? "?" }
}

extension SessionText {
    static func list(_ reports: [JSON], for output: Output) -> [String] {
        guard !reports.isEmpty else { return ["no sessions"] }
        let sessions = reports.map(SessionText.init)
        // Most sessions are in none.
        let hasGroups = sessions.contains { $0.text("group") != nil }
        var table = Table(
            ["ID", "STATE", "LEFT", "FAULT", "TENANT", "ENDING"] + (hasGroups ? ["GROUP"] : []) + ["TARGET"])
        for session in sessions {
            let group: [Table.Cell] = hasGroups ? [Table.Cell(session.text("group") ?? "-")] : []
            table.add(
                [
                    Table.Cell(session.id), Table.Cell(session.state, .ofState(session.state)),
                    Table.Cell(session.remaining.map(Self.rounded) ?? "-"), Table.Cell(session.fault),
                    Table.Cell(session.tenant),
                    session.ending.map { Table.Cell($0, session.isVerified ? nil : .bad) } ?? "-",
                ] + group + [Table.Cell(session.target)])
        }
        return table.lines(for: output)
    }

    func lines(for output: Output) -> [String] {
        var table = Table()
        table.add("session", Table.Cell(id, .bold))
        table.add("state", Table.Cell(stateLine, .ofState(state)))
        table.add("what", Table.Cell("\(fault): \(text("summary") ?? "")"))
        table.add("target", Table.Cell(target))
        table.add("tenant", Table.Cell(tenant))
        if let group = text("group") { table.add("group", Table.Cell(group)) }
        table.add("duration", Table.Cell((text("duration") ?? "?") + (text("lease").map { ", lease \($0)" } ?? "")))
        if let onRestart = text("onRestart") { table.add("on restart", Table.Cell(onRestart)) }
        if let reason = text("reason") { table.add("reason", Table.Cell(reason)) }
        if let openedAt = report["openedAt"]?.integerValue { table.add("opened", Table.Cell(utc(openedAt))) }
        return table.lines(for: output) + ["steps"] + stepLines(for: output)
    }

    /// The state, with what is to be known beside it.
    private var stateLine: String {
        if hasEnded { return outcome }
        if let remaining { return "\(state), \(Self.rounded(remaining)) left" }
        return state
    }

    /// How it ended, in one line.
    var outcome: String {
        switch state {
        case "ended" where isVerified && isIrreversible:
            "ended: \(ending ?? "?"); what it did cannot be taken back, and nothing else is left"
        case "ended" where isVerified: "ended: \(ending ?? "?"), and every change is undone and verified"
        case "ended": "ended: \(ending ?? "?"), but not every change is verified as undone"
        case "stuck": "stuck: undoing keeps failing and is tried again and again"
        default: state
        }
    }

    private var isIrreversible: Bool {
        (report["steps"]?.arrayValue ?? []).contains {
            $0["undo"]?["outcome"]?.stringValue == UndoOutcome.irreversible.word
        }
    }

    func stepLines(for output: Output) -> [String] {
        var table = Table()
        for step in report["steps"]?.arrayValue ?? [] {
            table.add(Table.Cell(step["summary"]?.stringValue ?? "?"), Self.outcome(of: step))
            if let effect = step["effect"]?["summary"]?.stringValue { table.add(Table.Cell("  \(effect)"), "") }
        }
        return table.lines(for: output, indentation: 2)
    }

    private static func outcome(of step: JSON) -> Table.Cell {
        guard let undo = step["undo"] else {
            return step["performed"]?.booleanValue == true ? "in effect" : "not performed"
        }
        let word = undo["outcome"]?.stringValue ?? "?"
        let detail = (undo["found"] ?? undo["reason"])?.stringValue
        let isGood = [UndoOutcome.restored, .alreadyRestored, .irreversible].contains { $0.word == word }
        return Table.Cell(word + (detail.map { ": \($0)" } ?? ""), isGood ? .good : .bad)
    }

    /// A remaining time, to the tenth of a second below ten seconds.
    static func rounded(_ duration: Duration) -> String {
        let tenths = Int64((duration.seconds * 10).rounded(.up))
        if tenths < 100 { return "\(tenths / 10).\(tenths % 10)s" }
        return Duration.seconds((tenths + 9) / 10).text
    }
}

/// A group's report, as the API tells it, in words.
struct GroupText {
    let report: JSON

    /// Nil for a report on something else.
    init?(_ report: JSON) {
        guard report["sessions"] != nil, report["matched"] != nil else { return nil }
        self.report = report
    }

    var id: String { report["id"]?.stringValue ?? "?" }
    var state: String { report["state"]?.stringValue ?? "?" }
    var sessions: [SessionText] { (report["sessions"]?.arrayValue ?? []).map(SessionText.init) }

    func lines(for output: Output) -> [String] {
        let choice =
            "\(sessions.count) of \(report["matched"]?.integerValue ?? 0) pods, seed \(report["seed"]?.integerValue ?? 0)"
        return ["group \(output.styled(id, .bold)): \(choice)"]
            + SessionText.list(sessions.map(\.report), for: output)
    }
}

extension Output {
    /// A session's report or a group's, in the format that was asked for.
    func report(_ report: JSON) throws(Failure) {
        guard let group = GroupText(report) else { return try session(report) }
        switch format {
        case .json: try document(report)
        case .table: try lines(group.lines(for: self))
        }
    }

    /// A session's report, in the format that was asked for.
    func session(_ report: JSON) throws(Failure) {
        switch format {
        case .json: try document(report)
        case .table: try lines(SessionText(report: report).lines(for: self))
        }
    }
}
