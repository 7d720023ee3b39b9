import AgentAPI
import AgentClient
import ChaosModel
import Testing

@Suite(.serialized)
struct OperatorClientTests {
    @Test func `sends a command and reads the answer`() throws {
        let answer = Answer(status: 200, body: ["sessions": []])
        let server = try ScriptedServer(frames: [answer.frame])
        #expect(try OperatorClient(socket: server.path).answer(to: OperatorCommand.list) == answer)
        #expect(server.request == Frame(.command, #"{"command":"list"}"#.utf8).encoded)
    }

    @Test(arguments: PublicQuery.allCases)
    func `sends what anybody may ask`(query: PublicQuery) throws {
        let answer = Answer(status: 200, body: [:])
        let server = try ScriptedServer(frames: [answer.frame])
        #expect(try OperatorClient(socket: server.path).answer(to: query) == answer)
        #expect(server.request == Frame(.query, query.rawValue.utf8).encoded)
    }

    @Test func `hands over the items of a stream, and its end`() throws {
        let session = SessionID.random()
        let server = try ScriptedServer(frames: [Frame(.item, "1".utf8), Frame(.item, "[2]".utf8), Frame(.end, [])])
        var items: [JSON] = []
        #expect(try OperatorClient(socket: server.path).items(of: .events(session)) { items.append($0) } == nil)
        #expect(items == [1, [2]])
    }

    @Test func `gives the answer where a stream was refused`() throws {
        let refusal = Answer(Problem(.sessionNotFound, "no such session"))
        let server = try ScriptedServer(frames: [refusal.frame])
        #expect(try OperatorClient(socket: server.path).items(of: .events(.random())) { _ in } == refusal)
    }

    @Test(
        arguments: [
            ([], .closedEarly), ([0, 0, 0], .closedEarly), ([0, 0, 0, 0, 0], .notTheProtocol("a frame of 0 bytes")),
            ([0, 0, 0, 1, 99], .notTheProtocol("a frame of kind 99")),
            ([0, 0, 0, 1, 16], .notTheProtocol("a malformed answer")),
            ([0, 0, 0, 1, 1], .notTheProtocol("a request")),
            ([0, 0, 0, 1, 18], .notTheProtocol("a stream where one answer was due")),
        ] as [([UInt8], ClientError.Failure)])
    func `says what is wrong with a reply`(bytes: [UInt8], failure: ClientError.Failure) throws {
        let server = try ScriptedServer(saying: [bytes]) { !$0.isEmpty }
        #expect(throws: ClientError(socket: server.path, failure)) {
            try OperatorClient(socket: server.path).answer(to: OperatorCommand.list)
        }
    }
}
