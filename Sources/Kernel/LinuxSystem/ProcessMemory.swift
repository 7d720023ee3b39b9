import CLinux
import Glibc

/// Keeps what this process has in its memory from other processes of its user, and out of core files.
///
/// The corresponding system calls are `prctl(2)` with `PR_SET_DUMPABLE` and `setrlimit(2)` with `RLIMIT_CORE`.
package func keepMemoryPrivate() throws(SystemCallError) {
    try systemCall("prctl", on: "PR_SET_DUMPABLE") { clinux_forbid_dumps() }
    var none = rlimit()
    try systemCall("setrlimit", on: "RLIMIT_CORE") { setrlimit(__rlimit_resource_t(RLIMIT_CORE.rawValue), &none) }
}
