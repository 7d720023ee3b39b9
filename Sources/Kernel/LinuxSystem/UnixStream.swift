internal import CLinux
import Glibc

/// A connected Unix stream socket, used with blocking calls by the side that asks.
package struct UnixStream: ~Copyable, Sendable {
    package let descriptor: OwnedDescriptor
    private let path: String

    /// - Parameter timeout: How long each later send or receive may take.
    /// - Throws: `ENOENT` where there is no socket, `ECONNREFUSED` where nobody listens, `EAGAIN` when the backlog is full.
    ///
    /// The corresponding system calls are `socket(2)` and `connect(2)`.
    package init(connectingTo path: String, timeout: Duration?) throws(SystemCallError) {
        let address = try UnixAddress(path, for: "connect")
        let raw = try systemCall("socket", on: "AF_UNIX") {
            socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        }
        let descriptor = OwnedDescriptor(adopting: raw)
        if let timeout {
            var limit = timeval(
                tv_sec: Int(timeout.components.seconds),
                tv_usec: Int(timeout.components.attoseconds / 1_000_000_000_000))
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                try systemCall("setsockopt timeout", on: path) {
                    setsockopt(raw, SOL_SOCKET, option, &limit, socklen_t(MemoryLayout<timeval>.size))
                }
            }
        }
        try systemCall("connect", on: path) { address.withPointer { connect(raw, $0, $1) } }
        self.descriptor = descriptor
        self.path = path
    }

    /// Until everything is sent.
    package func send(_ bytes: [UInt8]) throws(SystemCallError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            rest = rest.dropFirst(
                try systemCall("send", on: path) {
                    rest.withUnsafeBytes {
                        Glibc.send(descriptor.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                    }
                })
        }
    }

    /// The next bytes; empty when the other side has closed.
    package func receive() throws(SystemCallError) -> [UInt8] {
        var chunk = [UInt8](repeating: 0, count: 16384)
        let count = try systemCall("recv", on: path) {
            chunk.withUnsafeMutableBytes { recv(descriptor.rawValue, $0.baseAddress, $0.count, 0) }
        }
        return Array(chunk[..<count])
    }
}
