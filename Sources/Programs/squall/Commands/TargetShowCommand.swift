import AgentAPI
import AgentClient
import ArgumentParser
import ChaosModel

struct TargetShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Resolves a target, and shows what the agent knows of it and which sessions are on it.",
        discussion: """
            For operators: root on the node or in the agent's container. Nothing is changed. A session is on the target \
            when its own target has the same cgroup or the same network namespace.

            Examples:
              squall target show --container $ID
              squall target show --unit nginx.service
              squall target show --cgroup /kubepods/burstable/podX --output json
            """)

    @OptionGroup(title: "Target (exactly one)") var target: TargetOptions
    @OptionGroup(title: "Connection") var connection: ConnectionOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let selector = try target.selector
        let engine = try connection.engineForOperator
        let report = try reaching { () throws(ClientError) in try engine.answer(to: .target(selector)) }.acceptedBody
        switch output.format {
        case .json: try output.document(report)
        case .table: try output.lines(TargetText(report: report).lines(for: output))
        }
        return .success
    }
}
