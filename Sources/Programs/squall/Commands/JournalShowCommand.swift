import ArgumentParser
import ChaosModel
import Journal

struct JournalShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Shows every entry of the journal, and which sessions are live by it.",
        discussion: """
            Reads the file itself, as root on the node or in the agent's container. No agent need run, and one that \
            does is not disturbed: nothing is written and no lock is taken.

            Examples:
              squall journal show
              squall journal show --state-directory /mnt/node/var/lib/squall
              squall journal show --output json | tail -n 1     # what is live, and what is damaged
            """)

    @OptionGroup var journal: JournalOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let (records, scan) = try journal.read()
        switch output.format {
        case .json:
            for record in records { try output.document(record.document) }
            try output.document(scan.json)
        case .table:
            try output.lines(JournalText(records: records, scan: scan).lines(for: output))
        }
        return .success
    }
}

extension JournalRecord {
    /// The line as the file has it, with its number.
    fileprivate var document: JSON {
        let line: JSON = .integer(Int64(line))
        return switch content {
        case .entry: .object([JSON.Member("line", line)] + (json?.members ?? []))
        case .unknown: .object([("line", line), ("unknown", json)])
        case .damaged: ["line": line, "damaged": true]
        }
    }
}
