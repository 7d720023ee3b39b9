import CLinux
import Glibc

/// Keeps what this process has in its memory from other processes of its user, and out of core files.
///
/// The corresponding system calls are `prctl(2)` with `PR_SET_DUMPABLE` and `setrlimit(2)` with `RLIMIT_CORE`.
package func keepMemoryPrivate() throws(SystemCallError) {
    try systemCall("prctl", on: "PR_SET_DUMPABLE") { clinux_forbid_dumps() }
    try changeLimit(RLIMIT_CORE, "RLIMIT_CORE") { $0 = rlimit() }
}

/// Lets this process open as many files as it may, or as many as this says.
///
/// The corresponding limit is `RLIMIT_NOFILE`.
package func raiseDescriptorLimit(to most: Int?) throws(SystemCallError) {
    try changeLimit(RLIMIT_NOFILE, "RLIMIT_NOFILE") { limit in
        limit.rlim_cur = min(limit.rlim_max, most.map { rlim_t($0) } ?? limit.rlim_max)
    }
}

/// Lets the kernel lock as much memory for this process as it is asked to, as long as the closure runs; without
/// `CAP_SYS_RESOURCE` no more than before.
///
/// The corresponding limit is `RLIMIT_MEMLOCK`.
package func withoutLimitOfLockedMemory<Value>(
    _ body: () throws(SystemCallError) -> Value
) throws(SystemCallError) -> Value {
    let before: rlimit
    do throws(SystemCallError) {
        before = try changeLimit(__RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK") { $0 = rlimit(rlim_cur: .max, rlim_max: .max) }
    } catch {
        guard error.errno == .notPermitted else { throw error }
        return try body()
    }
    let result = Result { () throws(SystemCallError) in try body() }
    try changeLimit(__RLIMIT_MEMLOCK, "RLIMIT_MEMLOCK") { $0 = before }
    return try result.get()
}

/// - Returns: What it was.
///
/// The corresponding system calls are `getrlimit(2)` and `setrlimit(2)`.
@discardableResult
private func changeLimit(
    _ resource: __rlimit_resource, _ name: String, _ change: (inout rlimit) -> Void
) throws(SystemCallError) -> rlimit {
    let resource = __rlimit_resource_t(resource.rawValue)
    var limit = rlimit()
    try systemCall("getrlimit", on: name) { getrlimit(resource, &limit) }
    let before = limit
    change(&limit)
    try systemCall("setrlimit", on: name) { setrlimit(resource, &limit) }
    return before
}
