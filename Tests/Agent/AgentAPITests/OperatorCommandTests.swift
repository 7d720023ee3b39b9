import AgentAPI
import ChaosModel
import Testing

struct OperatorCommandTests {
    private static let session = SessionID.random()
    private static let commands: [OperatorCommand] = [
        .list, .show(.session(session)), .show(.group(.random())), .events(session), .revert(.session(session)),
        .revert(.group(.random())), .target(.container("0123456789ab")),
        .target(.process(id: 4711, startTime: 812_345)), .target(.cgroup("/kubepods/web")), .halt(reason: nil),
        .halt(reason: "incident"), .resume,
    ]

    @Test(arguments: commands)
    func `a command is read as it was written`(command: OperatorCommand) throws {
        #expect(try OperatorCommand(payload: command.json.bytes) == command)
    }

    @Test func `a target is asked for by its selector`() {
        #expect(
            OperatorCommand.target(.cgroup("/kubepods/web")).json.text
                == #"{"command":"target","target":{"cgroup":"/kubepods/web"}}"#)
    }

    @Test(
        arguments: [
            ("{}", .requestMalformed, "command"), (#"{"command":"stop"}"#, .requestMalformed, "command"),
            (#"{"command":"show"}"#, .requestMalformed, "session"),
            (#"{"command":"revert","session":"all"}"#, .requestMalformed, "session"),
            (#"{"command":"target"}"#, .requestMalformed, "target"),
            (#"{"command":"target","target":{}}"#, .fieldInvalid, "target"),
            (#"{"command":"target","target":{"pod":"web"}}"#, .fieldInvalid, "target.pod"),
            (#"{"command":"target","target":{"pot":{}}}"#, .fieldUnknown, "target.pot"),
            (#"{"command":"target","target":{"process":{"pid":4711}}}"#, .fieldMissing, "target.process.startTime"),
            (#"{"command":"list","session":"s-0123456789abcdef"}"#, .fieldUnknown, "session"),
            (#"{"command":"halt","reason":1}"#, .fieldInvalid, "reason"),
            (#"{"command":"resume","reason":"x"}"#, .fieldUnknown, "reason"),
            ("[]", .requestMalformed, "command"), (#""list""#, .requestMalformed, "command"),
            ("{", .requestMalformed, nil),
        ] as [(String, ProblemCode, String?)])
    func `refuses a command that it would not write, and says what is wrong`(
        text: String, code: ProblemCode, field: String?
    ) {
        let problem = #expect(throws: Problem.self) { try OperatorCommand(payload: text.utf8) }
        #expect(problem?.code == code)
        #expect(problem?.field == field)
    }
}
