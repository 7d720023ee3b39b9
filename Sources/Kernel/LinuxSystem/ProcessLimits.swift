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

/// Lets this process open as many files as it may, or as many as this says.
///
/// The corresponding system calls are `getrlimit(2)` and `setrlimit(2)` with `RLIMIT_NOFILE`.
package func raiseDescriptorLimit(to most: Int?) throws(SystemCallError) {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    try systemCall("getrlimit", on: "RLIMIT_NOFILE") { getrlimit(resource, &limit) }
    limit.rlim_cur = min(limit.rlim_max, most.map { rlim_t($0) } ?? limit.rlim_max)
    try systemCall("setrlimit", on: "RLIMIT_NOFILE") { setrlimit(resource, &limit) }
}
