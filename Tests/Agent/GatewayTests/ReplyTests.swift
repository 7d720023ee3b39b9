import AgentAPI
import ChaosModel
import Foundation
import Gateway
import Synchronization
import Testing

@Suite struct ReplyTests {
    @Test func `the engine's answer goes out as it came`() throws {
        let world = try GatewayWorld { _, caller, _ in caller.answer(200, #"{"state": "active"}"#) }
        let response = try world.response("GET", "/v1/sessions/\(RequestTests.id)")
        #expect(response.body == #"{"state": "active"}"#)
        #expect(response["Content-Type"] == "application/json")
    }

    @Test func `a session that was created has a location`() throws {
        let world = try GatewayWorld { _, caller, _ in caller.answer(201, #"{"id":"\#(RequestTests.id)"}"#) }
        let response = try world.response("POST", "/v1/sessions")
        #expect(response.status == 201)
        #expect(response["Location"] == "/v1/sessions/\(RequestTests.id)")
    }

    @Test func `a problem of the engine is a problem document`() throws {
        let world = try GatewayWorld { _, caller, _ in
            let answer = Answer(Problem(.tokenExpired, "the token expired 3 s ago"))
            caller.send(answer.frame.encoded)
        }
        let response = try world.response("POST", "/v1/sessions")
        #expect(response.status == 401)
        #expect(response.code == "token-expired")
        #expect(response["Content-Type"] == "application/problem+json")
        #expect(response["WWW-Authenticate"] == #"Bearer realm="squall", error="invalid_token""#)
    }

    @Test func `a node that takes no sessions is not ready`() throws {
        let report = #"{"ready":false,"reasons":["the agent is stopping"]}"#
        let world = try GatewayWorld { _, caller, _ in caller.answer(503, report) }
        let response = try world.response("GET", "/readyz", token: nil)
        #expect(response.status == 503)
        #expect(response.body == report)
        #expect(response["Content-Type"] == "application/json")
        #expect(response["Retry-After"] == "1")
    }

    @Test func `metrics go out as text`() throws {
        let text = "# TYPE squall_sessions gauge\\nsquall_sessions 1\\n# EOF\\n"
        let world = try GatewayWorld { _, caller, _ in caller.answer(200, "\"\(text)\"") }
        let response = try world.response("GET", "/metrics", token: nil)
        #expect(response.status == 200)
        // What the gateway itself refused is told beside it.
        #expect(
            response.body.hasPrefix(
                "# TYPE squall_sessions gauge\nsquall_sessions 1\n# TYPE squall_gateway_refused counter\n"))
        #expect(response.body.contains("\nsquall_gateway_refused_total{reason=\"handshakes\"} 0\n"))
        #expect(response.body.hasSuffix("\n# EOF\n") && response.body.split(separator: "# EOF").count == 2)
        #expect(response["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8")
    }

    @Test func `requests that follow each other are asked on one connection`() throws {
        let world = try GatewayWorld { _, caller, number in
            repeat { caller.answer(200, "{\"connection\":\(number)}") } while caller.next() != nil
        }
        for _ in 0..<5 {
            #expect(try world.response("GET", "/v1/faults").body == #"{"connection":0}"#)
        }
    }

    @Test func `a connection that has gone since is no hindrance`() throws {
        let world = try GatewayWorld { _, caller, number in
            caller.answer(200, "{\"connection\":\(number)}")
            // As an engine does that dies when it has taken the request in.
            if number % 2 == 0 { _ = caller.next() }
        }
        for connection in [0, 1, 2, 3] {
            #expect(try world.response("GET", "/v1/faults").body == "{\"connection\":\(connection)}")
        }
    }

    @Test func `what nobody has asked for answers nobody`() throws {
        let world = try GatewayWorld { _, caller, number in
            // At once: an answer that comes when the next request is on its way is that one's.
            let answers = ["{\"connection\":\(number)}", #"{"secret":"another's"}"#].map { body in
                Frame(.answer, [0, 200] + Array(body.utf8)).encoded
            }
            caller.send(Array(answers.joined()))
            caller.waitUntilClosed()
        }
        for connection in 0..<4 {
            #expect(try world.response("GET", "/v1/faults").body == "{\"connection\":\(connection)}")
        }
    }

    @Test func `HEAD is answered with the head of GET`() throws {
        let world = try GatewayWorld { _, caller, _ in caller.answer(200, #"{"faults":[]}"#) }
        let get = try world.response("GET", "/v1/faults")
        let head = try world.response("HEAD", "/v1/faults")
        #expect(head.lines == get.lines)
        #expect(head.body == "")
    }

    @Test func `the largest answer that a frame can carry arrives whole`() throws {
        let body = "[\"\(String(repeating: "x", count: Frame.maximumLength - 7))\"]"
        let world = try GatewayWorld { _, caller, _ in caller.answer(200, body) }
        #expect(try world.response("GET", "/v1/sessions").body == body)
    }

    @Test(
        arguments: [
            [0, 0, 0, 3, 16, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 2, 99, 0], [0, 0, 0, 3, 16, 2, 88], [0, 0, 0, 1, 18],
            [0, 0, 0, 3, 17, 123, 125], [0, 0, 0, 3, 16, 0, 201], [0, 0, 0, 5, 16, 0, 201, 123, 125],
        ] as [[UInt8]])
    func `a reply that makes no sense is an internal error`(bytes: [UInt8]) throws {
        let world = try GatewayWorld { _, caller, _ in
            caller.send(bytes)
            caller.waitUntilClosed()
        }
        let response = try world.response("GET", "/v1/node")
        #expect(response.status == 500)
        #expect(response.code == "internal-error")
    }

    // MARK: An engine that comes and goes

    @Test func `a request whose engine dies before it replies is offered to the next`() throws {
        let world = try GatewayWorld { _, caller, number in
            if number >= 3 { caller.answer(409, "{}") }
        }
        #expect(try world.response("POST", "/v1/sessions").status == 409)
        let frame = Frame(.envelope, "inject - a.b.c".utf8)
        #expect(world.engine?.received == [frame, frame, frame, frame])
    }

    @Test func `a request waits for an engine that is being started`() throws {
        let world = try GatewayWorld(withoutEngine: { _ in })
        let client = try world.connect()
        client.send("GET", "/v1/node")
        usleep(200_000)
        try world.startEngine { _, caller, _ in caller.answer(200, "{}") }
        #expect(try client.response().status == 200)
    }

    @Test func `an engine that does not come back is unavailable`() throws {
        let world = try GatewayWorld(withoutEngine: { _ in })
        let begin = ContinuousClock.now
        let response = try world.response("POST", "/v1/sessions")
        #expect(response.status == 503)
        #expect(response.code == "engine-unavailable")
        #expect(response["Retry-After"] == "1")
        #expect(begin.duration(to: .now) > .milliseconds(500))
    }

    @Test func `an engine that says nothing is unavailable`() throws {
        let world = try GatewayWorld {
            $0.answerTime = .milliseconds(200)
        } engine: { _, caller, _ in
            caller.waitUntilClosed()
        }
        let response = try world.response("GET", "/v1/node")
        #expect(response.status == 503)
        #expect(response.code == "engine-unavailable")
        #expect(world.engine?.received.count == 1)
    }

    // MARK: Streams

    private static let events = "/v1/sessions/\(RequestTests.id)/events"

    @Test func `each item of a stream is a line, sent when it happens`() throws {
        let (received, signal) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let world = try GatewayWorld { _, caller, _ in
            caller.reply(.item, #"{"sequence":1}"#.utf8)
            received.wait()
            caller.reply(.item, #"{"sequence":2}"#.utf8)
            caller.reply(.end, [])
            signal.signal()
        }
        let client = try world.connect()
        client.send("GET", Self.events)
        let head = try client.receive(through: "\r\n\r\n")
        #expect(head.contains("Content-Type: application/x-ndjson\r\n"))
        #expect(head.lowercased().contains("transfer-encoding: chunked\r\n"))
        #expect(try client.receive(through: "\r\n{\"sequence\":1}\n\r\n") == "f\r\n{\"sequence\":1}\n\r\n")
        received.signal()
        #expect(try client.receive(through: "\r\n0\r\n\r\n") == "f\r\n{\"sequence\":2}\n\r\n0\r\n\r\n")
        signal.wait()
        client.send("GET", "/nowhere")
        #expect(try client.response().status == 404)
    }

    @Test func `a client that accepts server-sent events gets them`() throws {
        let world = try GatewayWorld { _, caller, _ in
            caller.reply(.item, "{}".utf8)
            caller.reply(.end, [])
        }
        let client = try world.connect()
        client.send("GET", Self.events, headers: ["Accept: text/event-stream, */*;q=0.1"])
        let response = try client.receive(through: "0\r\n\r\n")
        #expect(response.contains("Content-Type: text/event-stream\r\n"))
        #expect(response.hasSuffix("\r\n\r\na\r\ndata: {}\n\n\r\n0\r\n\r\n"))
    }

    @Test func `a stream may be refused, or have no items`() throws {
        let world = try GatewayWorld { _, caller, number in
            if number == 0 {
                caller.send(Answer(Problem(.sessionNotFound, "no such session")).frame.encoded)
            } else {
                caller.reply(.end, [])
            }
        }
        #expect(try world.response("GET", Self.events).status == 404)
        #expect(try world.response("GET", Self.events).status == 200)
    }

    @Test func `a stream whose engine dies ends without its last chunk`() throws {
        let world = try GatewayWorld { _, caller, _ in caller.reply(.item, "{}".utf8) }
        let client = try world.connect()
        client.send("GET", Self.events)
        #expect(try client.receiveToEnd().hasSuffix("3\r\n{}\n\r\n"))
        #expect(world.engine?.received.count == 1)
    }

    @Test(arguments: [true, false])
    func `when a streaming client leaves, the engine's connection is closed`(afterFirstItem: Bool) throws {
        let closed = DispatchSemaphore(value: 0)
        let world = try GatewayWorld { _, caller, _ in
            if afterFirstItem { caller.reply(.item, "{}".utf8) }
            caller.waitUntilClosed()
            closed.signal()
        }
        do {
            let client = try world.connect()
            client.send("GET", Self.events)
            if afterFirstItem { _ = try client.receive(through: "{}") } else { usleep(100_000) }
        }
        #expect(closed.wait(timeout: .now() + 5) == .success)
    }

    @Test func `a client that reads slowly holds the engine back, and gets all`() throws {
        let item = Array(repeating: UInt8(ascii: "1"), count: 1000)
        let sent = Mutex(0)
        let world = try GatewayWorld { _, caller, _ in
            for _ in 0..<4000 {
                caller.reply(.item, item)
                sent.withLock { $0 += 1 }
            }
            caller.reply(.end, [])
        }
        let client = try world.connect()
        client.send("GET", Self.events, headers: ["Connection: close"])
        usleep(500_000)
        // The two sockets' own buffers and one of the gateway's hold about 600 items.
        #expect(sent.withLock { $0 } < 1500)
        _ = try client.receive(through: "\r\n\r\n")
        let chunk = "3e9\r\n\(String(repeating: "1", count: 1000))\n\r\n"
        #expect(try client.receiveToEnd() == String(repeating: chunk, count: 4000) + "0\r\n\r\n")
    }

    @Test func `a client that stops reading is dropped`() throws {
        let closed = DispatchSemaphore(value: 0)
        let world = try GatewayWorld {
            $0.stalledTime = .milliseconds(300)
        } engine: { _, caller, _ in
            while caller.send(Frame(.item, Array(repeating: 0x31, count: 1000)).encoded) {}
            closed.signal()
        }
        let client = try world.connect()
        client.send("GET", Self.events)
        #expect(closed.wait(timeout: .now() + 5) == .success)
        _ = try client.receiveToEnd()
    }
}
