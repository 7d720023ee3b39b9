import Glibc
import LinuxSystem

/// A Unix socket that the keeper binds and keeps, so that whoever connects while its server is being started
/// again waits in the backlog and is not refused.
struct ListeningSocket: ~Copyable {
    let descriptor: OwnedDescriptor

    /// Replaces whatever socket an earlier agent left at the path: the caller holds the agent's lock.
    ///
    /// The corresponding system calls are `socket(2)`, `bind(2)` and `listen(2)`.
    init(at path: String, mode: mode_t, group: gid_t) throws(SystemCallError) {
        let address = try UnixAddress(path, for: "bind")
        let socketType = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = try systemCall("socket", on: "AF_UNIX") { socket(AF_UNIX, socketType, 0) }
        let descriptor = OwnedDescriptor(adopting: raw)
        if unlink(path) != 0, Errno.current != .noEntry {
            // Whoever may write there, as root in a pod, could put a directory in the way of all that follows.
            try systemCall("rename", on: path) { rename(path, "\(path).\(getpid()).in-the-way") }
        }
        // It has its mode from the start: a later chmod(2) by path could be led elsewhere.
        let previousMask = umask(~mode & 0o777)
        defer { umask(previousMask) }
        try asGroup(group) { () throws(SystemCallError) in
            _ = try systemCall("bind", on: path) { address.withPointer { bind(raw, $0, $1) } }
        }
        try systemCall("listen", on: path) { listen(raw, OwnedDescriptor.backlog) }
        self.descriptor = descriptor
    }
}

/// Makes a directory, or gives the one that is there this mode.
func makeDirectory(_ path: String, mode: mode_t) throws(SystemCallError) {
    try ensureDirectory(path, mode: mode)
    try systemCall("chmod", on: path) { chmod(path, mode) }
}

/// Lets a file be made with a group, which `chown(2)` could only do with one capability more.
///
/// The corresponding system call is `setegid(2)`.
private func asGroup(_ group: gid_t, _ body: () throws(SystemCallError) -> Void) throws(SystemCallError) {
    let own = getegid()
    try systemCall("setegid", on: "group \(group)") { setegid(group) }
    defer {
        if setegid(own) != 0 { fatalError("cannot return to group \(own): \(Errno.current)") }
    }
    try body()
}
