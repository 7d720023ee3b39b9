import AgentAPI
import ArgumentParser
import ChaosModel

struct VersionCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "version",
        abstract: "Says which version this program is of; doctor says the agent's.",
        discussion: """
            Examples:
              squall version
              squall version --output json
            """)

    /// As a person reads it.
    static let text = "squall \(agentVersion)"

    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        switch output.format {
        case .table: try output.line(Self.text)
        case .json: try output.document(["version": .string(agentVersion)])
        }
        return .success
    }
}
