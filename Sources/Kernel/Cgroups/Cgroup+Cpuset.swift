internal import CLinux
internal import LinuxSystem

extension Cgroup {
    /// How many CPUs its processes may run on.
    package func effectiveCPUCount() throws(CgroupFileError) -> Int {
        switch layout {
        case .unified:
            // Where the controller is off, the set of the nearest cgroup above that has it is in force.
            guard let text = try readNearest("cpuset.cpus.effective") else { return try affinityCount() }
            return try Self.cpuCount(ofList: text, in: "cpuset.cpus.effective")
        case .perController:
            do throws(CgroupFileError) {
                let text = try read("cpuset.effective_cpus", of: .cpuset)
                return try Self.cpuCount(ofList: text, in: "cpuset.effective_cpus")
            } catch {
                if case .notEnabled = error { return try affinityCount() }
                throw error
            }
        }
    }

    /// The corresponding system call is `sched_getaffinity(2)`.
    private func affinityCount() throws(CgroupFileError) -> Int {
        do throws(SystemCallError) {
            return Int(try systemCall("sched_getaffinity", on: "this thread") { clinux_affinity_count() })
        } catch {
            throw .system(error)
        }
    }

    /// Counts a list as `0-3,8`.
    private static func cpuCount(ofList text: String, in file: String) throws(CgroupFileError) -> Int {
        var count = 0
        for range in text.prefix(while: { $0 != "\n" }).split(separator: ",") {
            let ends = range.split(separator: "-").map { Int($0) }
            guard ends.count <= 2, let first = ends[0], let last = ends[ends.count - 1], first <= last else {
                throw .unreadable(file: file, text: text)
            }
            count += last - first + 1
        }
        if count == 0 { throw .unreadable(file: file, text: text) }
        return count
    }
}
