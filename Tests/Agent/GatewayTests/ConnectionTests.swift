import AgentAPI
import ChaosModel
import Foundation
import Gateway
import LinuxSystem
import Synchronization
import Testing

@Suite struct ConnectionTests {
    @Test func `a connection serves one request after the other`() throws {
        let client = try GatewayWorld().connect()
        for path in ["/livez", "/v1/node", "/nowhere", "/v1/faults"] {
            client.send("GET", path)
            #expect(try client.response().status == (path == "/nowhere" ? 404 : 200))
        }
    }

    @Test func `requests sent at once are answered one at a time and in order`() throws {
        let running = Mutex(0)
        let mostRunning = Mutex(0)
        let world = try GatewayWorld { frame, caller, _ in
            let now = running.withLock { count in
                count += 1
                return count
            }
            mostRunning.withLock { $0 = max($0, now) }
            usleep(20_000)
            running.withLock { $0 -= 1 }
            caller.answer(200, "[\"\(String(decoding: frame.payload, as: UTF8.self))\"]")
        }
        let client = try world.connect()
        let queries = ["node", "faults", "node", "faults", "faults"]
        client.send(queries.map { RawClient.request("GET", "/v1/\($0)") }.joined())
        for query in queries { #expect(try client.response().body == "[\"\(query)\"]") }
        #expect(mostRunning.withLock { $0 } == 1)
    }

    @Test func `a client that sends requests and reads no responses is not read either`() throws {
        let body = "[\"\(String(repeating: "x", count: 100_000))\"]"
        let world = try GatewayWorld {
            $0.stalledTime = .milliseconds(500)
        } engine: { _, caller, _ in
            caller.answer(200, body)
        }
        let client = try world.connect()
        client.send(String(repeating: RawClient.request("GET", "/v1/node"), count: 200))
        usleep(1_000_000)
        // As many as fit into the socket's own buffer.
        #expect((1...10).contains(world.engine?.received.count ?? 0))
        #expect(try client.receiveToEnd().utf8.count < 1_100_000)
    }

    @Test(
        arguments: [
            "GET /livez HTTP/1.0\r\n\r\n", "GET /livez HTTP/1.1\r\nHost: n\r\nConnection: close\r\n\r\n",
            "GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        ])
    func `a client that does not stay is let go`(request: String) throws {
        let client = try GatewayWorld().connect()
        client.send(request)
        let response = try client.receiveToEnd()
        #expect(response.hasPrefix("HTTP/1."))
        #expect(response.contains("200 OK\r\n"))
        #expect(response.contains("Connection: close\r\n"))
    }

    @Test func `an old client's stream ends with its connection`() throws {
        let world = try GatewayWorld { _, caller, _ in
            caller.reply(.item, "{}".utf8)
            caller.reply(.end, [])
        }
        let client = try world.connect()
        client.send(
            "GET /v1/sessions/\(RequestTests.id)/events HTTP/1.0\r\nAuthorization: Bearer a.b.c\r\n\r\n")
        let response = try client.receiveToEnd()
        #expect(response.hasSuffix("\r\n\r\n{}\n"))
        #expect(!response.lowercased().contains("chunked"))
    }

    @Test func `a client that has closed its half gets its answer`() throws {
        let world = try GatewayWorld { _, caller, _ in
            usleep(100_000)
            caller.answer(200, "{}")
        }
        let client = try world.connect()
        client.send("GET", "/v1/node")
        client.closeOutput()
        #expect(try client.receiveToEnd().hasSuffix("\r\n\r\n{}"))
    }

    @Test func `a client that leaves lets the engine's connection go`() throws {
        let closed = DispatchSemaphore(value: 0)
        let world = try GatewayWorld { _, caller, _ in
            caller.waitUntilClosed()
            closed.signal()
        }
        do {
            let client = try world.connect()
            client.send("GET", "/v1/node")
            usleep(100_000)
        }
        #expect(closed.wait(timeout: .now() + 5) == .success)
    }

    @Test(
        arguments: [
            "hello\r\n\r\n", "GET /livez HTTP/9.9\r\n\r\n", "GET /livez HTTP/1.1\r\nBad Header: x\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "\u{16}\u{3}\u{1}\u{2}\u{0}",
            "POST /v1/plans HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ])
    func `what is not HTTP is told so and let go`(bytes: String) throws {
        let client = try GatewayWorld().connect()
        client.send(bytes)
        let response = try client.response()
        #expect(response.status == 400)
        #expect(response.code == "request-malformed")
        #expect(try client.receiveToEnd() == "")
    }

    @Test func `a malformed request after a good one does not harm the good one`() throws {
        let client = try GatewayWorld().connect()
        client.send(RawClient.request("GET", "/v1/node") + "nonsense\r\n\r\n")
        #expect(try client.response().status == 200)
        #expect(try client.response().status == 400)
        #expect(try client.receiveToEnd() == "")
    }

    @Test(
        arguments: [
            "X-Long: \(String(repeating: "x", count: 33_000))",
            (0..<40).map { "X-\($0): \(String(repeating: "x", count: 1000))" }.joined(separator: "\r\n"),
            (0..<70).map { "X-\($0): x" }.joined(separator: "\r\n"),
        ])
    func `a head that is too large is refused`(headers: String) throws {
        let client = try GatewayWorld().connect()
        client.send("GET", "/livez", headers: [headers])
        let response = try client.response()
        #expect(response.status == 431)
        #expect(response.json?["status"]?.integerValue == 431)
        #expect(try client.receiveToEnd() == "")
    }

    @Test func `a token of 16 KiB fits`() throws {
        let token = String(repeating: "a", count: 16 << 10)
        #expect(
            try GatewayWorld { _, caller, _ in caller.answer(200, "{}") }
                .response("POST", "/v1/plans", token: token).status == 200)
    }

    @Test func `a request that drips in is cut off`() throws {
        let client = try GatewayWorld { $0.requestTime = .milliseconds(300) }.connect()
        client.send("GET /livez HTTP/1.1\r\n")
        let begin = ContinuousClock.now
        while client.send("X: y\r\n") { usleep(20_000) }
        #expect(begin.duration(to: .now) > .milliseconds(200))
        #expect(begin.duration(to: .now) < .seconds(5))
    }

    @Test func `a connection that is not used is closed`() throws {
        let world = try GatewayWorld({ $0.idleTime = .milliseconds(200) })
        let unused = try world.connect()
        let used = try world.connect()
        used.send("GET", "/livez")
        #expect(try used.response().status == 200)
        #expect(try used.receiveToEnd() == "")
        #expect(try unused.receiveToEnd() == "")
    }

    @Test func `connections beyond the limit are told so at once`() throws {
        let world = try GatewayWorld({ $0.connections = 2 })
        var served = try [world.connect(), world.connect()]
        for client in served {
            client.send("GET", "/livez")
            #expect(try client.response().status == 200)
        }
        let refused = try world.connect()
        let response = try refused.response()
        #expect(response.status == 503)
        #expect(response.code == "engine-unavailable")
        #expect(try refused.receiveToEnd() == "")

        served.removeLast()
        usleep(100_000)
        #expect(try world.response("GET", "/livez").status == 200)
    }

    @Test func `one client has no more connections than one may have`() throws {
        let world = try GatewayWorld({ $0.connectionsPerPeer = 2 })
        var served = try [world.connect(), world.connect()]
        for client in served {
            client.send("GET", "/livez")
            #expect(try client.response().status == 200)
        }
        let response = try world.connect().response()
        #expect(response.status == 429)
        #expect(response.code == "rate-exceeded")

        served.removeLast()
        usleep(100_000)
        #expect(try world.response("GET", "/livez").status == 200)
    }

    @Test func `one client has no more requests in a second than one may have`() throws {
        let world = try GatewayWorld({ $0.requestsPerSecond = 5 })
        var answers: [Int] = []
        let begun = BootInstant.now
        for _ in 0..<30 { answers.append(try world.response("GET", "/v1/node").status) }
        // Twice as many at once, and what came in meanwhile.
        let most = 10 + 5 * ((BootInstant.now - begun) / .seconds(1)) + 1
        #expect((10...30).contains(answers.count { $0 == 200 }) && Double(answers.count { $0 == 200 }) <= most)
        #expect(answers.count { $0 == 429 } == 30 - answers.count { $0 == 200 })
        #expect(world.engine?.received.count == answers.count { $0 == 200 })
        usleep(500_000)
        #expect(try world.response("GET", "/v1/node").status == 200)
    }

    @Test func `probes are served when the API has no room`() throws {
        let world = try GatewayWorld({ $0.connections = 0 })
        let probe = try RawClient(to: world.probePath, in: world)
        probe.send("GET", "/livez")
        #expect(try probe.response().status == 200)
    }

    @Test func `a gateway that stops finishes what it is doing`() throws {
        let (asked, stopping) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let world = try GatewayWorld { _, caller, _ in
            asked.signal()
            stopping.wait()
            usleep(200_000)
            caller.answer(200, "{}")
        }
        let (busy, idle) = (try world.connect(), try world.connect())
        busy.send("GET", "/v1/node")
        asked.wait()
        stopping.signal()
        try world.drain()
        #expect(try idle.receiveToEnd() == "")
        #expect(try busy.receiveToEnd().contains("200 OK"))
        #expect(throws: (any Error).self) { try world.connect() }
    }

    @Test func `a gateway that stops does not wait for ever`() throws {
        let world = try GatewayWorld {
            $0.drainTime = .milliseconds(200)
        } engine: { _, caller, _ in
            caller.waitUntilClosed()
        }
        let client = try world.connect()
        client.send("GET", "/v1/node")
        usleep(100_000)
        let begin = ContinuousClock.now
        try world.drain()
        #expect(begin.duration(to: .now) < .seconds(3))
        #expect(try client.receiveToEnd() == "")
    }
}
