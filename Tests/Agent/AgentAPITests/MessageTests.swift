import AgentAPI
import ChaosModel
import Testing

struct MessageTests {
    private static let session = SessionID.random()

    @Test(arguments: Route.allCases)
    func `an envelope is read as it was written`(route: Route) {
        let request = EnvelopeRequest(route: route, session: route.namesSession ? Self.session : nil, token: "a.b.c")
        #expect(EnvelopeRequest(payload: request.payload) == request)
    }

    @Test(arguments: [
        "", "read", "read -", "read - a.b.c", "list s-0123456789abcdef a.b.c", "inject  a.b.c", "inject - ",
        "inject - a b",
        "inject - a\n", "inject - \u{E9}", "delete - a.b.c", "end s-xyz a.b.c", " inject - a", "INJECT - a",
        "inject - a ",
    ])
    func `refuses an envelope that it would not write`(text: String) {
        #expect(EnvelopeRequest(payload: text.utf8) == nil)
    }

    @Test func `a route allows one operation and reads are of one kind`() {
        #expect(Route.allCases.map(\.operation) == [.inject, .plan, .read, .read, .read, .renew, .end])
        #expect(Route.allCases.filter(\.namesSession) == [.read, .events, .renew, .end])
    }

    @Test func `an answer is read as it was written`() {
        let answer = Answer(status: 409, body: ["code": "replayed"])
        #expect(Answer(payload: answer.payload) == answer)
        #expect(answer.payload.prefix(2) == [1, 153])
        #expect(answer.frame == Frame(.answer, answer.payload))
    }

    @Test(arguments: [[], [0], [0, 200], [0, 200, 0x7B]] as [[UInt8]])
    func `refuses an answer that it would not write`(payload: [UInt8]) {
        #expect(Answer(payload: payload) == nil)
    }

    @Test func `a problem is answered with its own status`() {
        let problem = Problem(.draining, "the agent is stopping")
        #expect(Answer(problem) == Answer(status: 503, body: problem.json))
    }
}
