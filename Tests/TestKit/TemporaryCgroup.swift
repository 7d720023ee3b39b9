internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// A cgroup of a test's own, at one path in every hierarchy that the agent uses, until this is let go of.
package final class TemporaryCgroup: Sendable {
    /// From the root of the hierarchies.
    package let path: String
    private let directories: [String]

    package init() throws {
        let path = "/squall-test-\(getpid())-\(Self.count.wrappingAdd(1, ordering: .relaxed).newValue)"
        let mounts = try MountEntry.all().filter { mount in
            mount.root == "/"
                && (mount.type == "cgroup2"
                    || mount.type == "cgroup" && !Self.controllers.isDisjoint(with: mount.options))
        }
        self.path = path
        directories = mounts.map { "\($0.mountPoint)\(path)" }
        for mount in mounts {
            try systemCall("mkdir", on: "\(mount.mountPoint)\(path)") { mkdir("\(mount.mountPoint)\(path)", 0o755) }
            guard mount.options.contains("cpuset") else { continue }
            // On v1 a new cpuset is empty, and takes no process.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                try TextFile.write(
                    TextFile.read("\(mount.mountPoint)/\(file)"), to: "\(mount.mountPoint)\(path)/\(file)")
            }
        }
    }

    deinit { remove() }

    /// Removes the cgroup, which must have no process any more.
    package func remove() {
        for directory in directories { rmdir(directory) }
    }

    /// Where an interface file is, in whichever hierarchy has it.
    package func file(_ name: String) -> String? { files(name).first }

    /// In each hierarchy that has it.
    package func files(_ name: String) -> [String] {
        directories.map { "\($0)/\(name)" }.filter { access($0, F_OK) == 0 }
    }

    /// Or thaws.
    package func freeze(_ isFrozen: Bool) throws {
        if let file = file("freezer.state") {
            try TextFile.write(isFrozen ? "FROZEN" : "THAWED", to: file)
        } else if let file = file("cgroup.freeze") {
            try TextFile.write(isFrozen ? "1" : "0", to: file)
        } else {
            throw SystemCallError("freeze", on: path, errno: Errno(rawValue: ENOENT))
        }
    }

    private static let controllers: Set = ["blkio", "cpu", "cpuacct", "cpuset", "freezer", "memory", "pids"]
    private static let count = Atomic<Int>(0)
}
