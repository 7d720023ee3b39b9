import ArgumentParser
import Audit
import ChaosModel

struct AuditShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Shows the events of the audit log, the oldest first.",
        discussion: """
            Reads the files themselves, as root on the node or in the agent's container; no agent need run. With --output \
            json each event is a line as it was written.

            Examples:
              squall audit show --tenant shop
              squall audit show --session $SESSION
              squall audit show --event denied --output json | tail -n 20
            """)

    @Option(help: ArgumentHelp("Only events of this tenant.", valueName: "name"))
    var tenant: String?
    @Option(help: ArgumentHelp("Only events of this session.", valueName: "id"))
    var session: String?
    @Option(
        help: ArgumentHelp(
            "Only events of this kind: \(AuditEvent.Kind.allCases.map(\.rawValue).joined(separator: ", ")).",
            valueName: "kind"),
        completion: .list(AuditEvent.Kind.allCases.map(\.rawValue)))
    var event: String?
    @OptionGroup var audit: AuditOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        if let event, AuditEvent.Kind(rawValue: event) == nil {
            throw Failure(
                .invalid, "there is no event \"\(event)\"", field: "--event",
                hint: "known: \(AuditEvent.Kind.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        var events: [JSON] = []
        let scan = try audit.read { if isWanted($0) { events.append($0) } }
        switch output.format {
        case .json:
            for event in events { try output.document(event) }
        case .table:
            var table = Table("TIME", "EVENT", "WHO", "SESSION", "WHAT")
            for event in events { AuditText(event).add(to: &table) }
            try output.lines(events.isEmpty ? ["no events"] : table.lines(for: output))
        }
        if !scan.isSound { output.note("the log is not what was once written: see squall audit verify") }
        return .success
    }

    private func isWanted(_ line: JSON) -> Bool {
        func agrees(_ name: String, _ wanted: String?) -> Bool { wanted == nil || line[name]?.stringValue == wanted }
        return agrees("tenant", tenant) && agrees("session", session) && agrees("event", event)
    }
}
