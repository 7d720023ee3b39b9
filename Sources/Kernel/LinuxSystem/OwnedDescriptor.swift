internal import CLinux
import Glibc

/// A file descriptor with one owner, closed when the owner lets go of it.
package struct OwnedDescriptor: ~Copyable, Sendable {
    package let rawValue: Int32

    package init(adopting rawValue: Int32) {
        self.rawValue = rawValue
    }

    deinit {
        // After close(2) the number may already belong to somebody else, whatever it returned: never retried.
        _ = close(rawValue)
    }

    /// Gives the number away: whoever receives it closes it.
    package consuming func release() -> Int32 {
        let rawValue = self.rawValue
        discard self
        return rawValue
    }

    /// A second descriptor for the same open file.
    ///
    /// The corresponding system call is `fcntl(2)` with `F_DUPFD_CLOEXEC`.
    package func duplicate() throws(SystemCallError) -> OwnedDescriptor {
        let raw = rawValue
        return OwnedDescriptor(
            adopting: try systemCall("fcntl F_DUPFD_CLOEXEC", on: "descriptor \(raw)") {
                clinux_fcntl(raw, F_DUPFD_CLOEXEC, 3)
            })
    }
}

extension OwnedDescriptor {
    /// Opens a path, close-on-exec.
    ///
    /// The corresponding system call is `open(2)`.
    package static func open(
        _ path: String, _ flags: Int32, mode: UInt32 = 0
    ) throws(SystemCallError) -> OwnedDescriptor {
        OwnedDescriptor(
            adopting: try systemCall("open", on: path) { clinux_open(path, flags | O_CLOEXEC, mode) })
    }

    /// Opens a path below this directory, close-on-exec.
    ///
    /// The corresponding system call is `openat(2)`.
    package func openEntry(
        _ path: String, _ flags: Int32, mode: UInt32 = 0
    ) throws(SystemCallError) -> OwnedDescriptor {
        let directory = rawValue
        return OwnedDescriptor(
            adopting: try systemCall("openat", on: path) { clinux_openat(directory, path, flags | O_CLOEXEC, mode) })
    }

    /// Everything from the current position to the end of the file.
    ///
    /// - Throws: `EFBIG` for more than is allowed.
    ///
    /// The corresponding system call is `read(2)`.
    package func readToEnd(
        subject: @autoclosure () -> String, atMost most: Int = .max
    ) throws(SystemCallError) -> [UInt8] {
        let raw = rawValue
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = try systemCall("read", on: subject()) {
                chunk.withUnsafeMutableBytes { Glibc.read(raw, $0.baseAddress, $0.count) }
            }
            if count == 0 { return bytes }
            bytes.append(contentsOf: chunk[..<count])
            if bytes.count > most { throw SystemCallError("read", on: subject(), errno: Errno(rawValue: EFBIG)) }
        }
    }

    /// Writes all bytes, in as many calls as it takes.
    ///
    /// The corresponding system call is `write(2)`.
    package func writeAll(_ bytes: some Collection<UInt8>, subject: @autoclosure () -> String) throws(SystemCallError) {
        let raw = rawValue
        var rest = Array(bytes)[...]
        while !rest.isEmpty {
            rest = rest.dropFirst(
                try systemCall("write", on: subject()) {
                    rest.withUnsafeBytes { Glibc.write(raw, $0.baseAddress, $0.count) }
                })
        }
    }

    /// Keeps room for a file to grow into, which it does not yet.
    ///
    /// - Throws: `ENOSPC`; `EOPNOTSUPP` where the file system cannot.
    ///
    /// The corresponding system call is `fallocate(2)` with `FALLOC_FL_KEEP_SIZE`.
    package func reserve(_ count: Int, at offset: Int, subject: @autoclosure () -> String) throws(SystemCallError) {
        let raw = rawValue
        try systemCall("fallocate", on: subject()) { clinux_reserve(raw, Int64(offset), Int64(count)) }
    }

    /// The next connection of a listening socket, not blocking; nil when none waits.
    ///
    /// The corresponding system call is `accept4(2)`.
    package static func accepted(from listener: borrowing OwnedDescriptor) throws(SystemCallError) -> OwnedDescriptor? {
        let raw = listener.rawValue
        do throws(SystemCallError) {
            return OwnedDescriptor(adopting: try systemCall("accept4", on: "descriptor \(raw)") { clinux_accept(raw) })
        } catch {
            if error.errno == .wouldBlock { return nil }
            throw error
        }
    }
}
