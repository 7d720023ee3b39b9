import AgentAPI
import CRI
import ContainerRuntimes
import Dispatch
import Glibc
import LinuxSystem
import NIOCore
import NIOPosix
import SwiftProtobuf
import Testing

@Suite(.serialized)
struct QuestionServerTests {
    private let folder = "/tmp/squall-questions-\(UInt64.random(in: .min ... .max))"
    private var path: String { folder + "/runtimes.sock" }

    /// Serves on an inherited socket, as the program does, for a node without a runtime, or with one that answers as told.
    private func withServer(
        _ actions: (@Sendable (String) -> [FakeRuntime.Action])? = nil,
        _ body: @escaping @Sendable (FakeRuntime?) throws -> Void
    ) async throws {
        mkdir(folder, 0o700)
        defer { rmdir(folder) }
        var runtime: FakeRuntime?
        if let actions { runtime = try await FakeRuntime(at: folder + "/none.sock", actions) }
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let bound = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        try #require(bound == 0 && listen(listener, 128) == 0)
        defer { unlink(path) }
        let runtimes = RuntimeDirectory(RuntimePlace.all(named: [folder + "/none.sock"]), on: loop) { _ in }
        let server = try await QuestionServer.serve(runtimes, listeningSocket: listener, on: loop).get()
        try await withCheckedThrowingContinuation { continuation in
            // The client blocks: not on a thread that tasks share.
            DispatchQueue.global().async { [runtime] in continuation.resume(with: Result { try body(runtime) }) }
        }
        try await runtime?.stop()
        try await server.close()
    }

    /// What comes back for these bytes until the server hangs up.
    private static func reply(to bytes: [UInt8], at path: String) throws -> [UInt8] {
        let stream = try UnixStream(connectingTo: path, timeout: .seconds(5))
        _ = bytes.withUnsafeBytes { send(stream.descriptor.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
        var reply: [UInt8] = []
        while true {
            let more = try stream.receive()
            if more.isEmpty { return reply }
            reply += more
        }
    }

    @Test func `a question is answered, and the connection closed`() async throws {
        try await withServer { [path, folder] _ in
            let status = RuntimeStatus(
                socket: folder + "/none.sock", availability: .unreachable(reason: "there is no socket"))
            let statuses = try RuntimeClient(path: path).status()
            #expect(statuses == [status])
            let reply = try Self.reply(to: RuntimeQuestion.status.frame.encoded, at: path)
            #expect(reply == RuntimeAnswer.status([status]).answer.frame.encoded)
        }
    }

    @Test func `a container on a node without a runtime is not told to stop`() async throws {
        try await withServer { [path, folder] _ in
            #expect(throws: RuntimeFailure.unreachable(reason: "no socket at \(folder)/none.sock")) {
                try RuntimeClient(path: path).stop("4f6b1c2d3e4f", graceSeconds: 0, unless: Withdrawal())
            }
        }
    }

    @Test func `whoever hangs up takes its order to stop a container back`() async throws {
        let running =
            try Runtime_V1_ContainerStatusResponse.with {
                $0.status.id = "4f6b1c2d3e4f"
                $0.status.state = .containerRunning
            }.serializedBytes() as [UInt8]
        try await withServer({ $0 == "StopContainer" ? [] : .message(running) }) { [path] runtime in
            let runtime = try #require(runtime)
            do {
                let stream = try UnixStream(connectingTo: path, timeout: .seconds(5))
                try stream.send(RuntimeQuestion.stop("4f6b1c2d3e4f", graceSeconds: 60).frame.encoded)
                for _ in 0..<500 where runtime.requests("StopContainer").isEmpty { usleep(10_000) }
                #expect(runtime.requests("StopContainer").count == 1)
                #expect(runtime.givenUp == [])
            }
            for _ in 0..<500 where runtime.givenUp.isEmpty { usleep(10_000) }
            #expect(runtime.givenUp == ["StopContainer"])
        }
    }

    @Test(arguments: [
        Frame(.question, Array("{}".utf8)).encoded, Frame(.command, Array(#"{"ask":"status"}"#.utf8)).encoded,
        [0xFF, 0xFF, 0xFF, 0xFF, 4], [0, 0, 0, 1, 99],
    ])
    func `what is no question is answered by hanging up`(bytes: [UInt8]) async throws {
        try await withServer { [path] _ in
            let reply = try Self.reply(to: bytes, at: path)
            #expect(reply == [])
        }
    }

    @Test func `connections beyond the limit are turned away, and room is made again`() async throws {
        try await withServer { [path] _ in
            do {
                let idle = try (0..<64).map { _ in
                    let stream = try UnixStream(connectingTo: path, timeout: .seconds(5))
                    return try stream.descriptor.duplicate().release()
                }
                defer { for descriptor in idle { close(descriptor) } }
                #expect(throws: RuntimeFailure.self) { try RuntimeClient(path: path).status() }
            }
            // The server notices that they are gone in its own time.
            var answered = false
            for _ in 0..<50 where !answered {
                usleep(20_000)
                answered = (try? RuntimeClient(path: path).status()) != nil
            }
            #expect(answered)
        }
    }
}
