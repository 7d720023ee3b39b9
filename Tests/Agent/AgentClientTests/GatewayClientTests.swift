import AgentAPI
import AgentClient
import ChaosModel
import Testing

/// One thread per test waits here: not all at once.
@Suite(.serialized)
struct GatewayClientTests {
    private static let session = SessionScope("s-0123456789abcdef")
    private static let group = SessionScope("g-0123456789abcdef")

    private func ask(_ response: [String]) throws -> Answer {
        let server = try ScriptedServer(http: response)
        return try GatewayClient(socket: server.path).answer(to: PublicQuery.node)
    }

    private func failure(_ body: () throws -> some Any) -> ClientError.Failure? {
        do {
            _ = try body()
            return nil
        } catch {
            return (error as? ClientError)?.failure
        }
    }

    @Test(
        arguments: [
            (.inject, nil, "POST /v1/sessions"), (.plan, nil, "POST /v1/plans"), (.list, nil, "GET /v1/sessions"),
            (.read, session, "GET /v1/sessions/s-0123456789abcdef"),
            (.renew, session, "POST /v1/sessions/s-0123456789abcdef/lease"),
            (.end, session, "DELETE /v1/sessions/s-0123456789abcdef"),
            (.read, group, "GET /v1/groups/g-0123456789abcdef"),
            (.renew, group, "POST /v1/groups/g-0123456789abcdef/lease"),
            (.end, group, "DELETE /v1/groups/g-0123456789abcdef"),
        ] as [(Route, SessionScope?, String)])
    func `asks each route where the API has it, with the token and without a body`(
        route: Route, scope: SessionScope?, line: String
    ) throws {
        let server = try ScriptedServer(http: ["HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"])
        let request = EnvelopeRequest(route: route, scope: scope, token: "a.b.c")
        #expect(try GatewayClient(socket: server.path).answer(to: request) == Answer(status: 200, body: [:]))
        let text = String(decoding: server.request, as: UTF8.self)
        #expect(text.hasPrefix(line + " HTTP/1.1\r\n"))
        #expect(text.contains("\r\nHost: localhost\r\n"))
        #expect(text.contains("\r\nConnection: close\r\n"))
        #expect(text.contains("\r\nAuthorization: Bearer a.b.c\r\n"))
        #expect(text.contains("\r\nContent-Length: 0\r\n") == line.hasPrefix("POST"))
        #expect(text.hasSuffix("\r\n\r\n"))
    }

    @Test(arguments: [
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length:  9  \r\nX: y\r\n\r\n{\"a\":[1]}",
        "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{\"\r\n07\r\na\":[1]}\r\n0\r\nTrailer: t\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n{\"a\":[1]}",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 \r\nContent-Length: 9\r\n\r\n{\"a\":[1]}",
        "HTTP/1.0 503 No\nContent-Length: 9\nContent-Length: 9\n\n{\"a\":[1]}",
    ])
    func `reads a response however it is framed, and wherever it is cut`(response: String) throws {
        let answer = Answer(status: 503, body: ["a": [1]])
        #expect(try ask([response]) == answer)
        #expect(try ask(response.unicodeScalars.map { String($0) }) == answer)
    }

    @Test(arguments: [
        "", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
    ])
    func `does not take the beginning of a response for the whole`(response: String) {
        #expect(failure { try ask([response]) } == .closedEarly)
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n", "HTTP/2 200 OK\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/1.1 999 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{} ",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFF\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<p>", "HTTP/1.1 204 No Content\r\n\r\n",
    ])
    func `says that what it got is no answer`(response: String) {
        guard case .notTheProtocol = failure({ try ask([response]) }) else {
            Issue.record("accepted \(response.debugDescription)")
            return
        }
    }

    @Test func `bounds headers`() {
        let endless = "HTTP/1.1 200 OK\r\nX: " + String(repeating: "x", count: 20_000)
        #expect(failure { try ask([endless]) } == .notTheProtocol("a line has no end"))
        let many = "HTTP/1.1 200 OK\r\n" + String(repeating: "X: y\r\n", count: 101)
        #expect(failure { try ask([many]) } == .notTheProtocol("more than 100 headers"))
    }

    @Test func `hands over events as they come, and the end`() throws {
        let request = EnvelopeRequest(route: .events, scope: Self.session, token: "a.b.c")
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        let server = try ScriptedServer(http: [
            head, "8\r\n{\"n\":1}\n\r\n", "3\r\n{\"n\r\n", "5\r\n\":2}\n\r\n", "1\r\n\n\r\n", "0\r\n\r\n",
        ])
        var events: [JSON] = []
        #expect(try GatewayClient(socket: server.path).events(of: request) { events.append($0) } == nil)
        #expect(events == [["n": 1], ["n": 2]])
    }

    @Test func `tells a refused stream from one that was cut off`() throws {
        let request = EnvelopeRequest(route: .events, scope: Self.session, token: "a.b.c")
        let refusal = try ScriptedServer(http: ["HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n", "{\"a\":[1]}"])
        let answer = try GatewayClient(socket: refusal.path).events(of: request) { _ in }
        #expect(answer == Answer(status: 404, body: ["a": [1]]))
        let broken = try ScriptedServer(http: [
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"n\":1}\n\r\n"
        ])
        var events: [JSON] = []
        #expect(
            failure { try GatewayClient(socket: broken.path).events(of: request) { events.append($0) } } == .closedEarly
        )
        #expect(events == [["n": 1]])
    }

    @Test func `says which socket, what failed, and what may help`() {
        do throws(ClientError) {
            _ = try GatewayClient(socket: "/tmp/squall-no-such-socket").answer(to: PublicQuery.node)
            Issue.record("connected")
        } catch {
            #expect("\(error)" == "cannot reach the agent at /tmp/squall-no-such-socket: No such file or directory")
            #expect(error.remedy.hasPrefix("is the agent running"))
        }
    }

    @Test func `does not wait for an agent that hangs`() throws {
        let server = try ScriptedServer(saying: []) { _ in false }
        let client = GatewayClient(socket: server.path, timeout: .milliseconds(50))
        do throws(ClientError) {
            _ = try client.answer(to: PublicQuery.node)
            Issue.record("answered")
        } catch {
            #expect(error.remedy.hasPrefix("the agent is overloaded or hangs"))
        }
    }
}
