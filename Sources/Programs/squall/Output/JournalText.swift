import Authorization
import ChaosModel
import Journal
import LinuxSystem
import Steps

/// A journal in words. It needs no fault: what an entry holds says all of itself.
struct JournalText {
    let records: [JournalRecord]
    let scan: JournalScan

    func lines(for output: Output) -> [String] {
        var table = Table("LINE", "WRITTEN", "SESSION", "WHAT")
        for record in records { Self.add(record, to: &table) }
        let entries = records.isEmpty ? ["no entries"] : table.lines(for: output)
        return entries + [""] + liveLines(for: output) + damageLines(for: output)
    }

    /// What an agent that started now would make of it.
    func verdict(for output: Output) -> [String] {
        let sessions = scan.live.count == 1 ? "1 session is" : "\(scan.live.count) sessions are"
        let sound =
            scan.damagedLines.isEmpty
            ? "sound: all \(records.count) lines are what was once written"
            : "damaged: \(records.count - scan.damagedLines.count) of \(records.count) lines are what was once written, and used"
        return [sound, "\(sessions) to be taken back"] + damageLines(for: output)
    }

    private static func add(_ record: JournalRecord, to table: inout Table) {
        let line = Table.Cell("\(record.line)")
        let written = Table.Cell(record.wall.map(utc) ?? "-")
        switch record.content {
        case .entry(.opened(let session)):
            let said = words(session)
            table.add(line, written, Table.Cell(session.id.text), Table.Cell(said[0], .bold))
            for more in said.dropFirst() { table.add("", "", "", Table.Cell(more)) }
        case .entry(.moved(let session)):
            table.add(
                line, written, Table.Cell(session.id.text), Table.Cell("moved to \(session.target.summary)", .bold))
            for (index, intent) in session.intents.enumerated() {
                table.add("", "", "", Table.Cell("\(index + 1). \(intent.summary)"))
            }
        case .entry(.ended(let session)):
            table.add(line, written, Table.Cell(session.id.text), Table.Cell("ended: \(session.ending.words)"))
            for (index, step) in session.steps.enumerated() {
                let said = [step.effect?.words, step.undo?.word ?? (step.performed ? "not undone" : "not performed")]
                table.add("", "", "", Table.Cell("\(index + 1). \(said.compactMap(\.self).joined(separator: "; "))"))
            }
        case .entry(.tokenTaken(let token)):
            table.add(
                line, written, Table.Cell(token.scope?.text ?? "-"),
                Table.Cell(
                    "token \(token.tokenID) of \(token.tenant) taken; it could be used until \(utc(token.expires))"))
        case .entry(.halted(let halt)):
            table.add(
                line, written, "-", Table.Cell("halted by an operator\(halt.reason.map { ": \($0)" } ?? "")", .bold))
        case .entry(.resumed):
            table.add(line, written, "-", "resumed by an operator")
        case .entry(.clockSeen):
            table.add(line, written, "-", "compacted: what was over by then is not here")
        case .unknown:
            table.add(line, written, "-", Table.Cell("not known to this version", .bad))
        case .damaged:
            table.add(line, written, "-", Table.Cell("damaged: not what was once written", .bad))
        }
    }

    /// What was opened, on what and for how long, then each step.
    private static func words(_ session: OpenedSession) -> [String] {
        let length = session.duration
        let deadline = session.openedAtWall + length.components.seconds
        var lines = ["opened by \(session.tenant): \(session.fault): \(session.summary)"]
        lines.append("on \(session.target.summary), for \(length.text), until \(utc(deadline))")
        if let lease = session.lease { lines.append("with a lease of \(lease.text)") }
        if session.onRestart == .reinject { lines.append("and again when its container is started again") }
        if let reason = session.reason { lines.append("because: \(reason)") }
        for (index, intent) in session.intents.enumerated() { lines.append("\(index + 1). \(intent.summary)") }
        return lines
    }

    private func liveLines(for output: Output) -> [String] {
        guard !scan.live.isEmpty else { return ["live: none; nothing is to be taken back"] }
        let boot: String?
        do throws(SystemCallError) {
            boot = try bootIdentifier()
        } catch {
            // Only a remark less.
            boot = nil
        }
        return scan.live.map { session in
            let since = "since \(utc(session.openedAtWall)): \(session.fault) on \(session.target.summary)"
            let isGone = boot.map { $0 != session.bootID } ?? false
            let remark = isGone ? "; the node was restarted since, so only what lies on a disk can be left" : ""
            return "live: \(output.styled(session.id.text, .bold)) \(since)\(remark)"
        }
    }

    private func damageLines(for output: Output) -> [String] {
        var lines: [String] = []
        if !scan.damagedLines.isEmpty {
            let numbers = scan.damagedLines.map(String.init).joined(separator: ", ")
            lines.append(output.styled("damaged lines: \(numbers)", .bad))
        }
        if scan.tornBytes > 0 {
            let words = "\(scan.tornBytes) bytes after the last line: a write that was cut short, or is under way"
            lines.append(output.styled("torn: \(words)", .warning))
        }
        return lines
    }
}
