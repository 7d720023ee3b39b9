import ArgumentParser
import ChaosModel
import Journal
import LinuxSystem

/// Which journal.
struct JournalOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The agent's state directory, which the journal is in.", valueName: "path"),
        completion: .directory)
    var stateDirectory = Journal.standardDirectory

    func read() throws(Failure) -> (records: [JournalRecord], scan: JournalScan) {
        var records: [JournalRecord] = []
        do throws(JournalError) {
            let scan = try Journal.read(in: stateDirectory) { records.append($0) }
            return (records, scan)
        } catch {
            throw refusal(error)
        }
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

extension JournalScan {
    var json: JSON {
        [
            "live": .array(live.map { .string($0.id.text) }),
            "damagedLines": .array(damagedLines.map { .integer(Int64($0)) }),
            "tornBytes": .integer(Int64(tornBytes)),
        ]
    }
}
