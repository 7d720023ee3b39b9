internal import CLinux
internal import Glibc
package import LinuxSystem

/// The beginning of an ordinary file that a process finds at an absolute path, as text; nil where there is none. Symbolic
/// links are followed as the process would follow them; nothing else is opened than an ordinary file that holds data, so
/// that no driver hears of it. Hold a `ProcessHandle` first, and see afterwards that it still runs.
///
/// - Throws: `EINVAL` for what is no ordinary file, `EAGAIN` for one on which somebody has a lease, `ELOOP`; `EACCES` without the right to trace the process.
///
/// The corresponding system call is `openat2(2)` with `RESOLVE_IN_ROOT`.
package func beginningOfFile(
    at path: String, seenBy process: Int32, atMost limit: Int
) throws(SystemCallError) -> String? {
    let root = try OwnedDescriptor.open("/proc/\(process)/root", Int32(CLINUX_O_PATH) | O_DIRECTORY)
    let found: OwnedDescriptor
    do throws(SystemCallError) {
        let resolve = CLINUX_RESOLVE_IN_ROOT | CLINUX_RESOLVE_NO_MAGICLINKS
        found = OwnedDescriptor(
            adopting: try systemCall("openat2", on: path) {
                clinux_openat2(root.rawValue, path, UInt64(Int32(CLINUX_O_PATH) | O_CLOEXEC), 0, UInt64(resolve))
            })
    } catch {
        if error.errno == .noEntry || error.errno.rawValue == ENOTDIR { return nil }
        throw error
    }
    // What the kernel says in files may have no end, and is for others.
    guard try found.status(subject: path).st_mode & S_IFMT == S_IFREG,
        try !FilesystemSpace(of: found, subject: path).isOfTheKernel
    else { throw SystemCallError("open", on: path, errno: .invalidArgument) }
    // Who has a lease on it keeps nobody waiting.
    let file = try OwnedDescriptor.open("/proc/thread-self/fd/\(found.rawValue)", O_RDONLY | O_NONBLOCK | O_NOCTTY)
    var bytes = [UInt8](repeating: 0, count: limit)
    var length = 0
    while length < limit {
        let count = try systemCall("read", on: path) {
            bytes.withUnsafeMutableBytes { read(file.rawValue, $0.baseAddress.map { $0 + length }, limit - length) }
        }
        if count == 0 { break }
        length += count
    }
    return String(decoding: bytes[..<length], as: UTF8.self)
}
