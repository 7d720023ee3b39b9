import ArgumentParser
import Audit
import ChaosModel

struct AuditVerifyCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Checks that the audit log is what was once written: nothing altered, left out, put in or cut off.",
        discussion: """
            Each line holds the hash of the one before it. What was cut off at the end, the file `head` beside the log tells, \
            and so does whoever has kept the number and hash of an event elsewhere, as a monitoring system does of \
            `squall_audit_sequence`. The exit code is 1 when something was altered or is missing.

            Examples:
              squall audit verify
              squall audit verify --state-directory /mnt/node/var/lib/squall --output json
            """)

    @OptionGroup var audit: AuditOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let scan = try audit.read()
        switch output.format {
        case .json: try output.document(scan.json)
        case .table: try output.lines(Self.text(of: scan, output))
        }
        return scan.isSound ? .success : .notAsAsked
    }

    private static func text(of scan: AuditScan, _ output: Output) -> [String] {
        let events = scan.head.map { "events \(scan.first ?? $0.sequence) to \($0.sequence)" } ?? "no events"
        var lines = [
            scan.isSound
                ? "sound: \(events), in \(scan.fileCount) file\(scan.fileCount == 1 ? "" : "s"), are what was once written"
                : output.styled("not what was once written", .bad) + ": \(events), in \(scan.lineCount) lines"
        ]
        if let head = scan.head { lines.append("the last event's hash: \(head.hash)") }
        for finding in scan.findings {
            let place = finding.line > 0 ? "\(finding.file):\(finding.line)" : finding.file
            lines.append(Output.printable("\(finding.kind.rawValue): \(place): \(finding.words)"))
        }
        return lines
    }
}

extension AuditScan {
    fileprivate var json: JSON {
        .object([
            ("sound", .boolean(isSound)), ("files", .integer(Int64(fileCount))), ("lines", .integer(Int64(lineCount))),
            ("first", first.map(JSON.integer)), ("head", head?.json),
            (
                "findings",
                .array(
                    findings.map {
                        [
                            "kind": .string($0.kind.rawValue), "file": .string($0.file),
                            "line": .integer(Int64($0.line)), "words": .string($0.words),
                        ]
                    })
            ),
        ])
    }
}
