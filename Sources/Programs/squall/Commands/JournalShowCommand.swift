import ArgumentParser
import ChaosModel
import Journal
import LinuxSystem

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

    @Option(
        help: ArgumentHelp("The agent's state directory, which the journal is in.", valueName: "path"),
        completion: .directory)
    var stateDirectory = Journal.standardDirectory

    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        var records: [JournalRecord] = []
        let scan: JournalScan
        do throws(JournalError) {
            scan = try Journal.read(in: stateDirectory) { records.append($0) }
        } catch {
            throw refusal(error)
        }
        switch output.format {
        case .json:
            for record in records { try output.document(record.document) }
            try output.document(scan.json)
        case .table:
            try output.lines(JournalText(records: records, scan: scan).lines(for: output))
        }
        return .success
    }

    private func refusal(_ error: JournalError) -> Failure {
        let hint =
            switch error {
            case .system(let error): Self.remedy(for: error.errno)
            case .unknownFormat: "read it with the squall that came with the agent which wrote it"
            case .locked, .broken: "look at the agent's log"
            }
        return Failure(
            .invalid, "cannot read the journal in \(stateDirectory): \(error)", field: "--state-directory", hint: hint)
    }

    private static func remedy(for errno: Errno) -> String {
        switch errno {
        case .noEntry, .notDirectory:
            "run this on the node or in the agent's container, and name the directory that squalld was given"
        case .permissionDenied, .notPermitted: "the journal is root's: run this as root"
        default: "see whether the volume of the directory is sound"
        }
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

extension JournalScan {
    fileprivate var json: JSON {
        [
            "live": .array(live.map { .string($0.id.text) }),
            "damagedLines": .array(damagedLines.map { .integer(Int64($0)) }),
            "tornBytes": .integer(Int64(tornBytes)),
        ]
    }
}
