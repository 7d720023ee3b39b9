import Dispatch
import Glibc
import LinuxSystem

/// Stands in for the runtimes process: a listening Unix socket, and what to do with the first connection.
final class RuntimesProcess {
    let path: String
    private let listener: OwnedDescriptor

    /// - Parameter serve: Runs on a thread of its own; the connection is closed when it returns.
    init(_ serve: @escaping @Sendable (Int32) -> Void) throws {
        var template = Array("/tmp/squall-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemCallError("mkdtemp", on: "/tmp", errno: .current) }
        let directory = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
        path = directory + "/runtimes.sock"
        listener = try Self.listen(at: path)
        let raw = listener.rawValue
        DispatchQueue.global().async {
            let connection = accept(raw, nil, nil)
            if connection < 0 { return }
            serve(connection)
            _ = close(connection)
        }
    }

    private static func listen(at path: String) throws -> OwnedDescriptor {
        let raw = try systemCall("socket", on: path) { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0) }
        let listener = OwnedDescriptor(adopting: raw)
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
        try systemCall("listen", on: path) { Glibc.listen(raw, 4) }
        return listener
    }

    deinit {
        shutdown(listener.rawValue, Int32(SHUT_RDWR))
        unlink(path)
        rmdir(path.replacing("/runtimes.sock", with: ""))
    }
}

func write(_ bytes: [UInt8], to socket: Int32) {
    _ = bytes.withUnsafeBytes { send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
}
