import AgentAPI
import AgentClient
import ArgumentParser
import ChaosModel

struct HaltCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "halt",
        abstract: "Ends every session on this node now, and refuses new ones until 'squall resume'.",
        discussion: """
            For operators: root on the node or in the agent's container. The node stays halted when the agent is \
            restarted.

            Examples:
              squall halt
              squall halt --reason "incident 4711"
            """)

    @Option(help: ArgumentHelp("Why, for those who are refused.", valueName: "text"))
    var reason: String?

    @OptionGroup(title: "Connection") var connection: ConnectionOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let reason = reason
        let engine = try connection.engineForOperator
        let body = try reaching { () throws(ClientError) in try engine.answer(to: .halt(reason: reason)) }.acceptedBody
        let sessions = (body["sessions"]?.arrayValue ?? []).map(SessionText.init)
        switch output.format {
        case .json: try output.document(body)
        case .table:
            try output.lines(sessions.map { "\($0.id)  \($0.outcome)" } + [Self.summary(of: sessions)])
        }
        return sessions.allSatisfy(\.isVerified) ? .success : .notAsAsked
    }

    private static func summary(of sessions: [SessionText]) -> String {
        let ended = sessions.count(where: \.isVerified)
        let rest = sessions.count - ended
        return "halted: \(ended) session\(ended == 1 ? "" : "s") ended and verified"
            + (rest > 0 ? ", \(rest) not: see squall session list" : "") + "; new ones are refused until squall resume"
    }
}

struct ResumeCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "resume",
        abstract: "Lets a halted node take sessions again.",
        discussion: """
            For operators: root on the node or in the agent's container. Sessions that were ended stay ended.

            Examples:
              squall resume
            """)

    @OptionGroup(title: "Connection") var connection: ConnectionOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let engine = try connection.engineForOperator
        let body = try reaching { () throws(ClientError) in try engine.answer(to: .resume) }.acceptedBody
        switch output.format {
        case .json: try output.document(body)
        case .table: try output.line("resumed: new sessions are taken")
        }
        return .success
    }
}
