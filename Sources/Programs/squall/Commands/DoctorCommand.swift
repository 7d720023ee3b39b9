import ArgumentParser
import ChaosModel

struct DoctorCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "doctor",
        abstract: "Says what works on this node, what does not, why, and what to do.",
        discussion: """
            Asks the agent, and where its processes can be seen, looks at them too. Exits with 1 when something does \
            not work. Where the agent runs as a container, run this in it.

            Examples:
              squall doctor
              squall doctor --output json
            """)

    @OptionGroup(title: "Connection") var connection: ConnectionOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let examination = Examination(of: connection)
        switch output.format {
        case .json:
            if let node = examination.node { try output.document(node) }
            try output.document(["checks": .array(examination.checks.map(\.json))])
        case .table:
            try output.lines(Self.text(of: examination, output))
        }
        return examination.checks.contains { $0.state == .missing } ? .notAsAsked : .success
    }

    private static func text(of examination: Examination, _ output: Output) -> [String] {
        var lines: [String] = []
        if let node = examination.node {
            let name = node["name"]?.stringValue ?? "?"
            let members = [("kernel", "kernel"), ("agent", "version"), ("cgroups", "cgroups")]
            let parts = members.compactMap { word, member in node[member]?.stringValue.map { "\(word) \($0)" } }
            lines += ["\(output.styled("node \(name)", .bold))  \(parts.joined(separator: ", "))", ""]
        }
        var table = Table("CHECK", "STATE", "WHY, AND WHAT TO DO")
        for check in examination.checks {
            table.add(
                Table.Cell(check.name), Table.Cell(check.state.rawValue, check.state.style), Table.Cell(check.why))
            if let remedy = check.remedy { table.add("", "", "→ \(remedy)") }
        }
        return lines + table.lines(for: output)
    }
}

extension Check.State {
    fileprivate var style: Style {
        switch self {
        case .ok: .good
        case .warning: .warning
        case .missing: .bad
        }
    }
}
