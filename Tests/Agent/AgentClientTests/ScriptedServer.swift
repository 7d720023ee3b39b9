import AgentAPI
import Glibc
import LinuxSystem
import Synchronization

/// Listens on a Unix socket of its own, takes one connection, and says what it was told to, in these pieces.
final class ScriptedServer: Sendable {
    let path: String
    private let listener: Int32
    private let received = Mutex<[UInt8]>([])

    /// - Parameter isComplete: When the request is there: then it answers, and closes.
    init(saying pieces: [[UInt8]], when isComplete: @escaping @Sendable ([UInt8]) -> Bool) throws {
        var template = Array("/tmp/squall-server-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemCallError("mkdtemp", on: "/tmp", errno: .current) }
        path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self) + "/s"
        listener = try Self.listen(on: path)
        // A thread of the test's own: what it tests blocks.
        var thread = pthread_t()
        let server = Unmanaged.passRetained(Work(server: self, pieces: pieces, isComplete: isComplete))
        pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, server.toOpaque())
        pthread_detach(thread)
    }

    deinit {
        close(listener)
        unlink(path)
        rmdir(String(path.dropLast(2)))
    }

    /// All that the client has sent.
    var request: [UInt8] { received.withLock { $0 } }

    private final class Work {
        let server: ScriptedServer
        let pieces: [[UInt8]]
        let isComplete: @Sendable ([UInt8]) -> Bool

        init(server: ScriptedServer, pieces: [[UInt8]], isComplete: @escaping @Sendable ([UInt8]) -> Bool) {
            self.server = server
            self.pieces = pieces
            self.isComplete = isComplete
        }

        func run() {
            let connection = accept(server.listener, nil, nil)
            guard connection >= 0 else { return }
            defer { close(connection) }
            var chunk = [UInt8](repeating: 0, count: 65536)
            while !isComplete(server.request) {
                let count = recv(connection, &chunk, chunk.count, 0)
                guard count > 0 else { return }
                server.received.withLock { $0 += chunk[..<count] }
            }
            for piece in pieces { send(connection, piece, piece.count, Int32(MSG_NOSIGNAL)) }
        }
    }

    private static func listen(on path: String) throws -> Int32 {
        let raw = try systemCall("socket", on: path) { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        try systemCall("bind", on: path) {
            withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(raw, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        }
        try systemCall("listen", on: path) { Glibc.listen(raw, 8) }
        return raw
    }
}

extension ScriptedServer {
    /// Answers an HTTP request without body.
    convenience init(http pieces: [String]) throws {
        try self.init(saying: pieces.map { Array($0.utf8) }) { $0.suffix(4).elementsEqual("\r\n\r\n".utf8) }
    }

    /// Answers one frame.
    convenience init(frames: [Frame]) throws {
        try self.init(saying: frames.map(\.encoded)) { bytes in
            var decoder = FrameDecoder()
            decoder.append(bytes)
            return (try? decoder.next()) != nil
        }
    }
}
