import Glibc
import LinuxSystem

/// - Throws: `ENOTSOCK` or `EBADF` for what is no socket, `EINVAL` for one that does not listen.
///
/// The corresponding system call is `getsockopt(2)` with `SO_ACCEPTCONN`.
func requireListening(_ socket: borrowing OwnedDescriptor) throws(SystemCallError) {
    let raw = socket.rawValue
    var listens: Int32 = 0
    var size = socklen_t(MemoryLayout<Int32>.size)
    try systemCall("getsockopt SO_ACCEPTCONN", on: "descriptor \(raw)") {
        getsockopt(raw, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size)
    }
    guard listens == 1 else {
        throw SystemCallError("accept", on: "descriptor \(raw), which does not listen", errno: .invalidArgument)
    }
}
