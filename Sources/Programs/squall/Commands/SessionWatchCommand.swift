import ArgumentParser
import ChaosModel

struct SessionWatchCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Shows what happens to a session until it has ended.",
        discussion: """
            Watching neither renews the lease nor, when interrupted, ends the session.

            Examples:
              squall session watch s-0123456789abcdef
              squall session watch s-0123456789abcdef --key shop.key.jwk --output json
            """)

    @Argument(help: "The session.", completion: .sessions, transform: SessionID.init(argument:))
    var session: SessionID

    @OptionGroup(title: "Access") var access: SessionAccess
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let agent = try access.agent
        let inbox = Inbox()
        var follower = try Follower(
            of: try agent.report(on: .session(session)), at: agent, inbox: inbox, output: output, onInterruption: .leave
        )
        switch try follower.follow() {
        case .over(let report):
            try output.session(report)
            return Self.status(of: SessionText(report: report))
        case .interrupted:
            return .interrupted
        }
    }

    private static func status(of session: SessionText) -> ExitStatus {
        switch session.ending.flatMap({ Ending(rawValue: $0) }) {
        case .expired, .cancelled, .completed: session.isVerified ? .success : .notAsAsked
        case .leaseLapsed, .targetGone, .applyFailed, .faultEnded, .recovered, .drained, .halted, .revoked,
            .nodeUnhealthy, .groupFailed, nil:
            .notAsAsked
        }
    }
}
