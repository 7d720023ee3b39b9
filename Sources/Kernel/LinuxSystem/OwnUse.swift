internal import Glibc

/// What this process uses, cheap enough to be asked for each request.
package struct OwnUse: Sendable {
    /// How many are open.
    package let descriptors: Int
    /// `RLIMIT_NOFILE`.
    package let descriptorLimit: Int
    /// Resident memory that no file stands behind, in bytes.
    package let memory: Int

    /// The corresponding system calls are `stat(2)` of `/proc/self/fd`, `getrlimit(2)` and `read(2)` of `/proc/self/statm`.
    ///
    /// - Throws: Their errors; `EMFILE` when there is no descriptor left to ask with.
    package init() throws(SystemCallError) {
        let path = "/proc/self/statm"
        let fields = try TextFile.read(path).split(separator: " ")
        guard fields.count > 2, let resident = Int(fields[1]), let shared = Int(fields[2]) else {
            throw SystemCallError("parse", on: path, errno: .invalidArgument)
        }
        memory = (resident - shared) * Int(sysconf(Int32(_SC_PAGESIZE)))
        // Its size is their number since Linux 6.2, and 0 before.
        let open = "/proc/self/fd"
        let size = try fileStatus(at: open).st_size
        descriptors = size > 0 ? Int(size) : try TextFile.names(in: open).count
        var limit = rlimit()
        try systemCall("getrlimit", on: "RLIMIT_NOFILE") {
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        }
        descriptorLimit = Int(clamping: limit.rlim_cur)
    }
}
