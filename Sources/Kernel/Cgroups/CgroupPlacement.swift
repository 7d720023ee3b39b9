internal import Glibc
package import LinuxSystem

/// How a new process is put into a cgroup.
package enum CgroupPlacement: Sendable {
    /// By `clone3(2)` with `CLONE_INTO_CGROUP`: it never was anywhere else (v2).
    case directory(CgroupDirectory)
    /// By writing `0` to each file itself, before its program starts (v1, which clone3 cannot do).
    case processFiles([CgroupProcessFile])
}

/// A cgroup's directory in one hierarchy.
package final class CgroupDirectory: Sendable {
    package let descriptor: OwnedDescriptor
    let hierarchy: Hierarchy

    init(_ hierarchy: Hierarchy, _ descriptor: consuming OwnedDescriptor) {
        self.hierarchy = hierarchy
        self.descriptor = descriptor
    }
}

/// A `cgroup.procs`, open for writing.
package final class CgroupProcessFile: Sendable {
    package let descriptor: OwnedDescriptor

    init(of directory: CgroupDirectory) throws(SystemCallError) {
        descriptor = try directory.descriptor.openEntry("cgroup.procs", O_WRONLY)
    }
}
