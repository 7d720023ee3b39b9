import ArgumentParser
import ChaosModel

struct SessionRevertCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "revert",
        abstract: "Ends a session now, and says whether every change is undone.",
        discussion: """
            Examples:
              squall session revert s-0123456789abcdef
              squall session revert s-0123456789abcdef --key shop.key.jwk
            """)

    @Argument(help: "The session.", completion: .sessions, transform: SessionID.init(argument:))
    var session: SessionID

    @OptionGroup(title: "Access") var access: SessionAccess
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let report = try access.agent.revert(session)
        try output.session(report)
        return SessionText(report: report).isVerified ? .success : .notAsAsked
    }
}
