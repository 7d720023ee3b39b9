import ArgumentParser
import ChaosModel
import Faults

struct FaultShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Explains a fault: what it does, its parameters, examples, and whether it works on this node.",
        discussion: """
            Examples:
              squall fault show network-latency
              squall fault show cpu-stress --output json
            """)

    @Argument(help: "The fault.", completion: .list(FaultCatalogue.all.map { $0.kind }))
    var fault: String

    @OptionGroup(title: "Connection") var connection: ConnectionOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let fault = try FaultCatalogue.named(fault)
        switch output.format {
        case .json: try output.document(fault.json)
        case .table: try output.lines(explanation(of: fault, output))
        }
        return .success
    }

    private func explanation(of fault: any Fault.Type, _ output: Output) -> [String] {
        var lines = ["\(output.styled(fault.kind, .bold)): \(fault.summary)", ""]
        lines += wrapped(fault.explanation, columns: 80)
        lines += ["", "Reach: \(fault.reach.words)"]
        if !fault.isReversible { lines.append("Reversible: no: what it does cannot be taken back") }
        lines += [worksHere(fault), ""]
        lines.append(output.styled(fault.parameters.isEmpty ? "No parameters" : "Parameters", .bold))
        var table = Table()
        for parameter in fault.parameters {
            table.add(
                Table.Cell(parameter.name),
                Table.Cell(
                    parameter.standard.map { "= \($0.stringValue ?? $0.text)" }
                        ?? (parameter.isRequired ? "required" : "")),
                Table.Cell(parameter.range), Table.Cell(parameter.meaning))
        }
        lines += table.lines(for: output, indentation: 2) + ["", output.styled("Examples", .bold)]
        for example in fault.examples {
            lines.append("  \(example.title):")
            let target =
                switch fault.reach {
                case .service: ["--unit", "NAME"]
                case .host: ["--host"]
                case .container, .pod, .node: ["--container", "ID"]
                }
            let words = ["squall", "inject", fault.kind] + example.words + target + ["--key", "FILE"]
            lines.append("    " + words.joined(separator: " "))
        }
        return lines
    }

    private func worksHere(_ fault: any Fault.Type) -> String {
        let abilities = NodeAbilities(asking: connection)
        switch abilities.isWorking(fault.kind) {
        case true?: return "Works on this node: yes"
        case false?: return "Works on this node: no: \(abilities.reason(fault.kind) ?? "see squall doctor")"
        case nil: return "Works on this node: not known: \(abilities.failure?.message ?? "the agent does not say")"
        }
    }
}

extension FaultExample {
    /// Its parameters as the command line takes them.
    fileprivate var words: [String] {
        (parameters.members ?? []).map { member in
            let value = member.value
            let words = value.arrayValue?.compactMap(\.stringValue).joined(separator: ",")
            return "\(member.name)=\(words ?? value.stringValue ?? value.text)"
        }
    }
}

extension Reach {
    fileprivate var words: String {
        switch self {
        case .container: "the target's container"
        case .service: "the target, a service of systemd, and the units that systemd stops with it"
        case .pod: "every container of the target's pod"
        case .node: "what the target shares with others on the node"
        case .host: "the whole host, with all that runs on it"
        }
    }
}

/// A paragraph in lines of at most so many characters, but for words that are longer.
private func wrapped(_ text: String, columns: Int) -> [String] {
    var lines: [String] = []
    for word in text.split(separator: " ") {
        if let last = lines.last, last.count + 1 + word.count <= columns {
            lines[lines.count - 1] = "\(last) \(word)"
        } else {
            lines.append(String(word))
        }
    }
    return lines
}
