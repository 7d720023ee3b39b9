import ArgumentParser
import ChaosModel

struct SessionShowCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Shows one session: what it does to whom, and what became of each step. Or the sessions of a group.",
        discussion: """
            Examples:
              squall session show s-0123456789abcdef
              squall session show s-0123456789abcdef --key shop.key.jwk --output json
            """)

    @Argument(help: "The session or group.", completion: .sessions, transform: SessionScope.init(argument:))
    var scope: SessionScope

    @OptionGroup(title: "Access") var access: SessionAccess
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        try output.report(access.agent.report(on: scope))
        return .success
    }
}
