import ArgumentParser
import ChaosModel

struct SessionRevertCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "revert",
        abstract: "Ends a session, or all of a group, now, and says whether every change is undone.",
        discussion: """
            Examples:
              squall session revert s-0123456789abcdef
              squall session revert s-0123456789abcdef --key shop.key.jwk
              squall session revert g-0123456789abcdef
            """)

    @Argument(help: "The session or group.", completion: .sessions, transform: SessionScope.init(argument:))
    var scope: SessionScope

    @OptionGroup(title: "Access") var access: SessionAccess
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let report = try access.agent.revert(scope)
        try output.report(report)
        return SessionText(report: report).isVerified ? .success : .notAsAsked
    }
}
