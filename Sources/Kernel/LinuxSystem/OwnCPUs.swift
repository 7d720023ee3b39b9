internal import CLinux

/// The CPUs that the calling thread may run on.
///
/// The corresponding system call is `sched_getaffinity(2)`.
package func ownCPUs() throws(SystemCallError) -> [Int32] {
    var cpus = [Int32](repeating: 0, count: 1024)
    let count = try systemCall("sched_getaffinity", on: "thread") { clinux_own_cpus(&cpus, Int32(cpus.count)) }
    return Array(cpus.prefix(Int(count)))
}

/// From now on the calling thread runs there only.
///
/// - Throws: `EINVAL` when it may not run there.
///
/// The corresponding system call is `sched_setaffinity(2)`.
package func stay(onCPU cpu: Int32) throws(SystemCallError) {
    try systemCall("sched_setaffinity", on: "CPU \(cpu)") { clinux_stay_on_cpu(cpu) }
}
