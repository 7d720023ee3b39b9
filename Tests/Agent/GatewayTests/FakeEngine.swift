import AgentAPI
import Foundation
import Glibc
import LinuxSystem
import Synchronization

/// An engine that does what a test tells it to: one thread for each connection, one frame in, then the script.
final class FakeEngine: Sendable {
    /// The engine's end of one connection.
    struct Caller: Sendable {
        let descriptor: Int32

        func reply(_ kind: Frame.Kind, _ payload: some Collection<UInt8>) {
            send(Frame(kind, payload).encoded)
        }

        func answer(_ status: Int, _ body: String) {
            reply(.answer, [UInt8(status >> 8), UInt8(status & 0xFF)] + Array(body.utf8))
        }

        /// False when the gateway has closed the connection.
        @discardableResult
        func send(_ bytes: [UInt8]) -> Bool {
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes {
                    Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                if count < 0 { return false }
                rest = rest.dropFirst(count)
            }
            return true
        }

        /// What the gateway asks next on the same connection; nil when it closes it.
        func next() -> Frame? { FakeEngine.frame(from: descriptor) }

        /// Returns when the gateway closes the connection.
        func waitUntilClosed() {
            var byte: UInt8 = 0
            while recv(descriptor, &byte, 1, 0) > 0 {}
        }
    }

    private final class Record: Sendable {
        let frames = Mutex<[Frame]>([])
    }

    private let listener: Int32
    private let record = Record()

    /// Every frame that arrived, in order.
    var received: [Frame] { record.frames.withLock { $0 } }

    /// - Parameter script: What to do with a frame; the connection is closed when it returns. The number counts
    ///   connections from 0.
    init(at path: String, script: @escaping @Sendable (Frame, Caller, Int) -> Void) throws {
        listener = try listeningUnixSocket(at: path).release()
        Thread.detachNewThread { [listener, record] in
            var count = 0
            while case let descriptor = accept(listener, nil, nil), descriptor >= 0 {
                let number = count
                count += 1
                Thread.detachNewThread {
                    if let frame = Self.frame(from: descriptor) {
                        record.frames.withLock { $0.append(frame) }
                        script(frame, Caller(descriptor: descriptor), number)
                    }
                    close(descriptor)
                }
            }
            close(listener)
        }
    }

    /// Ends the accepting thread, which closes the socket.
    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
    }

    private static func frame(from descriptor: Int32) -> Frame? {
        var decoder = FrameDecoder()
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            if let frame = try? decoder.next() { return frame }
            let count = recv(descriptor, &chunk, chunk.count, 0)
            if count <= 0 { return nil }
            decoder.append(chunk[..<count])
        }
    }
}

/// A listening socket at a path that does not exist yet.
func listeningUnixSocket(at path: String) throws(SystemCallError) -> OwnedDescriptor {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
    let descriptor = OwnedDescriptor(
        adopting: try systemCall("socket", on: path) {
            socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        })
    try systemCall("bind", on: path) {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor.rawValue, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }
    try systemCall("listen", on: path) { listen(descriptor.rawValue, 64) }
    return descriptor
}
