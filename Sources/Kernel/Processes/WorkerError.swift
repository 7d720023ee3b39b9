package import Cgroups
package import LinuxSystem

/// Why a worker does not work.
package enum WorkerStartError: Error, Hashable, Sendable {
    case connection(SystemCallError)
    case spawn(SpawnError)
    /// In its own words.
    case failed(reason: String)
    /// It ended, or time passed, before it said anything.
    case noAnswer
}

extension WorkerStartError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .connection(let error): "\(error)"
        case .spawn(let error): "\(error)"
        case .failed(let reason): "the worker failed: \(reason)"
        case .noAnswer: "the worker did not become ready"
        }
    }
}

/// Why a worker may still be there.
package enum WorkerEndError: Error, Hashable, Sendable {
    /// It was killed, and has not ended: it is in a frozen v1 cgroup, or waits for a device.
    case stillRunning(process: Int32)
    case cgroup(CgroupFileError)
    case system(SystemCallError)
}

extension WorkerEndError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .stillRunning(let process): "worker \(process) was killed and still runs"
        case .cgroup(let error): "\(error)"
        case .system(let error): "\(error)"
        }
    }
}
