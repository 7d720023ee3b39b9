import AgentAPI
import Foundation
import Glibc
import Testing

/// Clients that people really use, as they come.
@Suite struct OrdinaryClientTests {
    private static let curlProgram = "/usr/bin/curl"
    private static let pythonProgram = "/usr/bin/python3"

    private func run(_ program: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let output = Pipe()
        process.standardOutput = output
        try process.run()
        let bytes = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: bytes, as: UTF8.self)
    }

    private func curl(_ world: GatewayWorld, _ path: String, _ arguments: [String] = []) throws -> String {
        try run(
            Self.curlProgram,
            ["-sS", "--max-time", "5", "--unix-socket", world.apiPath, "-w", "|%{http_code}|%{content_type}"]
                + arguments + ["http://localhost\(path)"])
    }

    @Test(.enabled(if: access(curlProgram, X_OK) == 0, "curl is not installed"))
    func `curl injects, is told about a body, and follows a stream`() throws {
        let world = try GatewayWorld { frame, caller, _ in
            if String(decoding: frame.payload, as: UTF8.self).hasPrefix("events") {
                for number in 1...3 { caller.reply(.item, "\(number)".utf8) }
                caller.reply(.end, [])
            } else if frame.kind == .query {
                caller.answer(200, "{}")
            } else {
                caller.answer(201, #"{"id":"\#(RequestTests.id)"}"#)
            }
        }
        let token = ["-H", "Authorization: Bearer a.b.c"]
        #expect(try curl(world, "/v1/sessions", token + ["-X", "POST"]).hasSuffix("|201|application/json"))
        #expect(
            try curl(world, "/v1/sessions", token + ["-d", "{}"]).hasSuffix("|400|application/problem+json"))
        #expect(
            try curl(world, "/v1/sessions", token + ["-d", String(repeating: "x", count: 100_000)])
                .hasSuffix("|400|application/problem+json"))
        #expect(try curl(world, "/v1/sessions", ["-X", "POST"]).hasSuffix("|401|application/problem+json"))
        #expect(
            try curl(world, "/v1/sessions/\(RequestTests.id)/events", token) == "1\n2\n3\n|200|application/x-ndjson")
        #expect(try curl(world, "/livez", ["--head", "-o", "/dev/null"]) == "|200|application/json")
    }

    @Test(.enabled(if: access(pythonProgram, X_OK) == 0, "python3 is not installed"))
    func `Python's http.client keeps a connection for several requests`() throws {
        let world = try GatewayWorld()
        let script = """
            import http.client, socket, sys
            client = http.client.HTTPConnection("localhost")
            client.sock = socket.socket(socket.AF_UNIX)
            client.sock.connect(sys.argv[1])
            for method, path in [("GET", "/v1/node"), ("POST", "/v1/sessions"), ("HEAD", "/v1/faults"), ("GET", "/")]:
                client.request(method, path, headers={"Authorization": "Bearer a.b.c"})
                response = client.getresponse()
                print(response.status, len(response.read()) > 0)
            """
        let output = try run(Self.pythonProgram, ["-c", script, world.apiPath])
        #expect(output == "200 True\n200 True\n200 False\n404 True\n")
    }
}
