import AgentAPI
import ChaosModel
import Testing

struct MessageTests {
    private static let session = SessionID.random()

    @Test(arguments: Route.allCases)
    func `an envelope is read as it was written`(route: Route) {
        for scope in [nil, .session(Self.session), .group(.random())] as [SessionScope?] {
            let request = EnvelopeRequest(route: route, scope: scope, token: "a.b.c")
            #expect(EnvelopeRequest(payload: request.payload) == (route.takes(scope) ? request : nil))
        }
    }

    @Test(arguments: [[], ["spiffe://a/b"], ["spiffe://a/b", "chaos.example", "urn:x"]])
    func `an envelope tells whose certificate it came with`(names: [String]) {
        let identities = names.compactMap(PeerIdentity.init)
        let request = EnvelopeRequest(route: .list, scope: nil, token: "a.b.c", identities: identities)
        #expect(request.payload == Array((["list - a.b.c tls"] + names).joined(separator: " ").utf8))
        #expect(EnvelopeRequest(payload: request.payload) == request)
        // To have a certificate that says nothing is not to have needed none.
        #expect(request != EnvelopeRequest(route: .list, scope: nil, token: "a.b.c"))
    }

    @Test func `no envelope has more identities than count`() {
        let many = String(repeating: " a.example", count: EnvelopeRequest.mostIdentities)
        #expect(EnvelopeRequest(payload: "list - a tls\(many)".utf8) != nil)
        #expect(EnvelopeRequest(payload: "list - a tls\(many) b.example".utf8) == nil)
    }

    @Test func `what the gateway asks and is told of TLS is read as it was written`() {
        var query = CredentialsQuery()
        #expect(CredentialsQuery(payload: query.payload) == query)
        query.known = "g"
        query.problem = "no key"
        query.expires = 1
        #expect(CredentialsQuery(payload: query.payload) == query)
        for bad in ["", "[]", "{\"know\":1}", "nothing"] { #expect(CredentialsQuery(payload: bad.utf8) == nil) }
        let credentials = TLSCredentials(
            generation: "g", certificateChain: "c\n", privateKey: "k\n", clientAuthorities: "a\n")
        #expect(TLSCredentials(credentials.json) == credentials)
        #expect(TLSCredentials([:]) == nil)
    }

    @Test(arguments: [
        "", "read", "read -", "read - a.b.c", "list s-0123456789abcdef a.b.c", "inject  a.b.c", "inject - ",
        "inject - a b",
        "inject - a\n", "inject - \u{E9}", "delete - a.b.c", "end s-xyz a.b.c", " inject - a", "INJECT - a",
        "inject - a ", "list - a tcp", "list - a tls ", "list - a tls  a.example", "list - a tls a b_c",
        "list - a tls *.example", "list - a tls \u{E9}:x", "list - a tls :x",
    ])
    func `refuses an envelope that it would not write`(text: String) {
        #expect(EnvelopeRequest(payload: text.utf8) == nil)
    }

    @Test func `a route allows one operation and reads are of one kind`() {
        #expect(Route.allCases.map(\.operation) == [.inject, .plan, .read, .read, .read, .renew, .end])
        #expect(Route.allCases.filter { $0.takes(.session(Self.session)) } == [.read, .events, .renew, .end])
        #expect(Route.allCases.filter { $0.takes(.group(.random())) } == [.read, .renew, .end])
        #expect(Route.allCases.filter { $0.takes(nil) } == [.inject, .plan, .list])
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
