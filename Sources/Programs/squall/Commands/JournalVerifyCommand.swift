import ArgumentParser
import ChaosModel
import Journal

struct JournalVerifyCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Checks every line of the journal, and says what an agent would make of it.",
        discussion: """
            Reads the file itself, as `squall journal show` does. The exit code is 1 when a line is damaged. Bytes after \
            the last line are no damage: they were never acknowledged, and an agent that starts cuts them off. With \
            --settled it is 1, too, while sessions are to be taken back.

            Examples:
              squall journal verify
              squall journal verify --settled
              squall journal verify --state-directory /mnt/node/var/lib/squall --output json
            """)

    @OptionGroup var journal: JournalOptions
    @Flag(help: "Fail as well while sessions are to be taken back.")
    var settled = false
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let (records, scan) = try journal.read()
        switch output.format {
        case .json:
            var members = scan.json.members ?? []
            members.insert(JSON.Member("lines", .integer(Int64(records.count))), at: 0)
            try output.document(.object(members))
        case .table:
            try output.lines(JournalText(records: records, scan: scan).verdict(for: output))
        }
        return scan.damagedLines.isEmpty && !(settled && !scan.live.isEmpty) ? .success : .notAsAsked
    }
}
