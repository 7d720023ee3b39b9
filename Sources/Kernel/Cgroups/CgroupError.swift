package import LinuxSystem

/// Why a cgroup is not opened.
package enum CgroupOpeningError: Error, Hashable, Sendable {
    /// No hierarchy is mounted whole.
    case noHierarchy
    /// The path is seen from a cgroup namespace that does not contain it.
    case outsideNamespace(path: String)
    /// The root is every process of the machine.
    case root
    case malformed(path: String)
    case system(SystemCallError)
}

extension CgroupOpeningError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .noHierarchy: "no cgroup hierarchy is mounted whole"
        case .outsideNamespace(let path): "cgroup \(path) is outside of this process's cgroup namespace"
        case .root: "the root cgroup is no target"
        case .malformed(let path): "malformed cgroup path \(path.debugDescription)"
        case .system(let error): "\(error)"
        }
    }
}

/// Why an interface file was not read or written.
package enum CgroupFileError: Error, Hashable, Sendable {
    /// The cgroup was removed.
    case gone(path: String)
    /// The controller is off for this cgroup, or lacks this file.
    case notEnabled(CgroupController, file: String, path: String)
    /// The kernel's text is not what this agent knows.
    case unreadable(file: String, text: String)
    case system(SystemCallError)
}

extension CgroupFileError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .gone(let path): "cgroup \(path) is gone"
        case .notEnabled(let controller, let file, let path):
            "cgroup \(path) has no \(file) (controller \(controller.rawValue))"
        case .unreadable(let file, let text): "cannot read \(text.debugDescription) in \(file)"
        case .system(let error): "\(error)"
        }
    }
}
