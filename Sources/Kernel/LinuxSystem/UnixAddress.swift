package import Glibc

/// Where a Unix socket is: a path, or a name of Linux's own that is no file (unix(7)).
package struct UnixAddress: Sendable {
    private let raw: sockaddr_un
    private let length: socklen_t

    /// - Parameters:
    ///   - call: What wants it, for the error.
    ///   - namesAbstract: Whether a `@` at its beginning stands for the zero byte of a name that is no file.
    /// - Throws: `ENAMETOOLONG`.
    package init(_ path: String, for call: String, namesAbstract: Bool = false) throws(SystemCallError) {
        var bytes = Array(path.utf8)
        var address = sockaddr_un()
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemCallError(call, on: path, errno: Errno(rawValue: ENAMETOOLONG))
        }
        address.sun_family = sa_family_t(AF_UNIX)
        let isAbstract = namesAbstract && bytes.first == UInt8(ascii: "@")
        if isAbstract { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        raw = address
        // A name that is no file ends with its last byte, a path with its zero.
        length = socklen_t(
            isAbstract ? MemoryLayout<sa_family_t>.size + bytes.count : MemoryLayout<sockaddr_un>.size)
    }

    /// As `bind(2)`, `connect(2)` and `sendto(2)` take it.
    package func withPointer<Value>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Value) -> Value {
        withUnsafePointer(to: raw) { address in
            address.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }
}
