package import Glibc

/// Makes a directory where there is none; one that is there stays as it is.
///
/// The corresponding system call is `mkdir(2)`.
package func ensureDirectory(_ path: String, mode: mode_t) throws(SystemCallError) {
    if mkdir(path, mode) != 0, Errno.current != .exists {
        throw SystemCallError("mkdir", on: path, errno: .current)
    }
}
