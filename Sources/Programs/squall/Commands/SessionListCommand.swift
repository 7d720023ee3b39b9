import ArgumentParser
import ChaosModel

struct SessionListCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "list",
        abstract: "Lists the sessions that live and those that ended lately, the newest first.",
        discussion: """
            Examples:
              squall session list
              squall session list --key shop.key.jwk --output json
            """)

    @OptionGroup(title: "Access") var access: SessionAccess
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let answer = try access.agent.sessions()
        switch output.format {
        case .json: try output.document(answer)
        case .table: try output.lines(SessionText.list(answer["sessions"]?.arrayValue ?? [], for: output))
        }
        return .success
    }
}
