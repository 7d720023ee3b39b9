import ArgumentParser
import ChaosModel
import Faults

struct FaultListCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists every fault, and whether it works on this node.",
        discussion: """
            The list is this program's own; an agent that answers adds whether each fault works here. REACH is what \
            a fault touches at most: the container, every container of the pod, or the node.

            Examples:
              squall fault list
              squall fault list --output json
            """)

    @OptionGroup(title: "Connection") var connection: ConnectionOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        switch output.format {
        case .json:
            for fault in FaultCatalogue.all { try output.document(fault.json) }
        case .table:
            let abilities = NodeAbilities(asking: connection)
            var table = Table("FAULT", "REACH", "WORKS HERE", "SUMMARY")
            for fault in FaultCatalogue.all {
                table.add(
                    Table.Cell(fault.kind), Table.Cell(fault.reach.rawValue), abilities.cell(fault.kind),
                    Table.Cell(fault.summary))
            }
            try output.lines(table.lines(for: output))
            for fault in FaultCatalogue.all where abilities.isWorking(fault.kind) == false {
                output.note("\(fault.kind) does not work here: \(abilities.reason(fault.kind) ?? "see squall doctor")")
            }
            if let failure = abilities.failure { output.note("what works here is not known: \(failure.message)") }
        }
        return .success
    }
}
