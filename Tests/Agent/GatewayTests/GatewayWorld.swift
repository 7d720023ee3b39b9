import AgentAPI
import Foundation
import Gateway
import Glibc
import LinuxSystem

/// A running gateway in a directory of its own, with or without an engine.
final class GatewayWorld {
    let directory: String
    let server: GatewayServer
    private(set) var engine: FakeEngine?
    private var isDrained = false

    var apiPath: String { "\(directory)/api" }
    var probePath: String { "\(directory)/probes" }
    var enginePath: String { "\(directory)/engine" }

    /// A gateway whose engine answers every frame with what it was: `{"kind": …, "payload": …}`.
    convenience init(_ adjust: (inout Limits) -> Void = { _ in }) throws {
        try self.init(adjust) { frame, caller, _ in
            let payload = String(decoding: frame.payload, as: UTF8.self)
            caller.answer(200, #"{"kind":\#(frame.kind.rawValue),"payload":"\#(payload)"}"#)
        }
    }

    convenience init(
        _ adjust: (inout Limits) -> Void = { _ in },
        engine script: @escaping @Sendable (Frame, FakeEngine.Caller, Int) -> Void
    ) throws {
        try self.init(withoutEngine: adjust)
        try startEngine(script)
    }

    init(withoutEngine adjust: (inout Limits) -> Void) throws {
        var template = Array("/tmp/squall-gateway.XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw SystemCallError("mkdtemp", on: "/tmp", errno: .current)
        }
        directory = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        var limits = Limits()
        // Few tests want to wait; those that do say so.
        limits.recoveryTime = .milliseconds(600)
        limits.recoveryPause = .milliseconds(20)
        limits.lingerTime = .milliseconds(100)
        adjust(&limits)
        server = try GatewayServer(
            api: try listeningUnixSocket(at: "\(directory)/api"),
            probes: try listeningUnixSocket(at: "\(directory)/probes"),
            engineSocket: "\(directory)/engine", limits: limits)
    }

    func startEngine(_ script: @escaping @Sendable (Frame, FakeEngine.Caller, Int) -> Void) throws {
        engine = try FakeEngine(at: enginePath, script: script)
    }

    func connect() throws -> RawClient { try RawClient(to: apiPath, in: self) }

    /// One request on a connection of its own.
    func response(
        _ method: String, _ path: String, token: String? = "a.b.c", headers: [String] = []
    ) throws -> RawResponse {
        let client = try connect()
        client.send(method, path, token: token, headers: headers + ["Connection: close"])
        return try client.response(isHead: method == "HEAD")
    }

    func drain() throws {
        isDrained = true
        try server.drain()
        try server.close()
    }

    deinit {
        if !isDrained { try? drain() }
        for path in [apiPath, probePath, enginePath] { unlink(path) }
        rmdir(directory)
    }
}
