import AgentAPI
import ChaosModel
import Gateway
import Testing

@Suite struct RequestTests {
    static let id = "s-0123456789abcdef"

    @Test(
        arguments: [
            ("GET", "/v1/sessions", "list - a.b.c"),
            ("POST", "/v1/sessions", "inject - a.b.c"),
            ("POST", "/v1/plans", "plan - a.b.c"),
            ("GET", "/v1/sessions/\(id)", "read \(id) a.b.c"),
            ("GET", "/v1/sessions/\(id)/events", "events \(id) a.b.c"),
            ("POST", "/v1/sessions/\(id)/lease", "renew \(id) a.b.c"),
            ("DELETE", "/v1/sessions/\(id)", "end \(id) a.b.c"),
        ])
    func `a request with a token becomes one frame with its route and its token`(
        method: String, path: String, payload: String
    ) throws {
        let world = try GatewayWorld { _, caller, _ in caller.answer(200, "{}") }
        #expect(try world.response(method, path).status == 200)
        #expect(world.engine?.received == [Frame(.envelope, payload.utf8)])
    }

    @Test(arguments: [
        ("/v1/faults", "faults"), ("/v1/node", "node"), ("/v1/node/name", "name"), ("/readyz", "readiness"),
        ("/livez", "liveness"),
        ("/metrics", "metrics"),
    ])
    func `what anybody may ask becomes a query without a token`(path: String, query: String) throws {
        let world = try GatewayWorld()
        #expect(try world.response("GET", path, token: nil).status == 200)
        #expect(world.engine?.received == [Frame(.query, query.utf8)])
    }

    @Test func `an engine that answers nothing is not alive, and is not waited for as long as for an injection`() throws
    {
        let world = try GatewayWorld({ $0.probeTime = .milliseconds(200) }) { _, caller, _ in caller.waitUntilClosed() }
        let begin = ContinuousClock.now
        let response = try world.response("GET", "/livez", token: nil)
        #expect(response.status == 503)
        #expect(response.code == "engine-unavailable")
        #expect(begin.duration(to: .now) < .seconds(4))
    }

    @Test func `a request without a token is refused before the engine hears of it`() throws {
        let world = try GatewayWorld()
        let response = try world.response("POST", "/v1/sessions", token: nil)
        #expect(response.status == 401)
        #expect(response.code == "token-missing")
        #expect(response["WWW-Authenticate"] == #"Bearer realm="squall""#)
        #expect(response["Content-Type"] == "application/problem+json")
        #expect(world.engine?.received == [])
    }

    @Test(
        arguments: [
            ("Authorization: Basic dTpw", 401, "token-missing"),
            ("Authorization: Bearer", 401, "token-missing"),
            ("Authorization: Bearer a b", 401, "token-malformed"),
            ("Authorization: Bearer \(String(repeating: "a", count: 16385))", 401, "token-malformed"),
            ("Authorization: Bearer a\r\nAuthorization: Bearer b", 400, "request-malformed"),
        ])
    func `an Authorization header that holds no one token is refused`(
        header: String, status: Int, code: String
    ) throws {
        let world = try GatewayWorld()
        let response = try world.response("POST", "/v1/sessions", token: nil, headers: [header])
        #expect(response.status == status)
        #expect(response.code == code)
        #expect(world.engine?.received == [])
    }

    @Test(
        arguments: [
            ("GET", "/", 404, "not-found"),
            ("GET", "/v1/sessions/", 404, "session-not-found"),
            ("GET", "/v1/sessions/s-0123456789ABCDEF", 404, "session-not-found"),
            ("GET", "/v1/sessions/\(id)/steps", 404, "not-found"),
            ("GET", "/v1/sessions/\(id)/events/", 404, "not-found"),
            ("GET", "/v1//sessions", 404, "not-found"),
            ("GET", "/v1/%73essions", 404, "not-found"),
            ("GET", "/v1/sessions?op=inject", 400, "request-malformed"),
        ])
    func `a path that is none is refused`(method: String, path: String, status: Int, code: String) throws {
        let world = try GatewayWorld()
        let response = try world.response(method, path)
        #expect(response.status == status)
        #expect(response.code == code)
        #expect(world.engine?.received == [])
    }

    @Test(
        arguments: [
            ("DELETE", "/v1/sessions", "GET, HEAD, POST"), ("PUT", "/v1/sessions/\(id)", "GET, HEAD, DELETE"),
            ("GET", "/v1/plans", "POST"), ("HEAD", "/v1/sessions/\(id)/events", "GET"),
            ("POST", "/livez", "GET, HEAD"), ("PUT", "/v1/node", "GET, HEAD"),
        ])
    func `a method that a resource does not take is refused with those that it does`(
        method: String, path: String, allowed: String
    ) throws {
        let response = try GatewayWorld().response(method, path)
        #expect(response.status == 405)
        #expect(response["Allow"] == allowed)
    }

    @Test(
        arguments: [
            "Content-Length: 2\r\n\r\n{}", "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            "Content-Length: 70000\r\n\r\n{}", "Content-Length: 2\r\nExpect: 100-continue\r\n\r\n",
        ])
    func `a body is refused, with a hint`(headersAndBody: String) throws {
        let world = try GatewayWorld()
        let client = try world.connect()
        client.send("POST /v1/sessions HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer a.b.c\r\n\(headersAndBody)")
        let response = try client.response()
        #expect(response.status == 400)
        #expect(response.code == "request-malformed")
        #expect(response.json?["hint"]?.stringValue?.contains("token") == true)
        #expect(world.engine?.received == [])
    }

    @Test func `a body without an end is refused while it is still sent`() throws {
        let world = try GatewayWorld()
        let client = try world.connect()
        client.send("POST", "/v1/sessions", headers: ["Transfer-Encoding: chunked"])
        for _ in 0..<80 { client.send("400\r\n\(String(repeating: "x", count: 1024))\r\n") }
        #expect(try client.response().code == "request-malformed")
        #expect(try client.receiveToEnd() == "")
    }

    @Test(arguments: ["Content-Length: 0\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])
    func `an empty body is none`(headersAndBody: String) throws {
        let client = try GatewayWorld().connect()
        client.send("POST /v1/sessions HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer a.b.c\r\n\(headersAndBody)")
        #expect(try client.response().status == 200)
    }

    @Test func `the probes' socket serves nothing but probes`() throws {
        let world = try GatewayWorld()
        for (path, status) in [
            ("/livez", 200), ("/readyz", 200), ("/metrics", 200), ("/v1/node", 404), ("/v1/sessions", 404),
        ] {
            let client = try RawClient(to: world.probePath, in: world)
            client.send("GET", path)
            #expect(try client.response().status == status, "\(path)")
        }
    }
}
