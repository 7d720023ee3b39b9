internal import CLinux
internal import Glibc
package import LinuxSystem

package enum NamespaceKind: String, Sendable {
    case cgroup
    case ipc
    case mount = "mnt"
    case network = "net"
    case uts

    /// Its `CLONE_NEW*` flag.
    package var flag: Int32 {
        switch self {
        case .cgroup: Int32(CLINUX_CLONE_NEWCGROUP)
        case .ipc: Int32(CLINUX_CLONE_NEWIPC)
        case .mount: Int32(CLINUX_CLONE_NEWNS)
        case .network: Int32(CLINUX_CLONE_NEWNET)
        case .uts: Int32(CLINUX_CLONE_NEWUTS)
        }
    }
}

/// A namespace held open: it exists as long as this does, whatever becomes of its processes.
package struct NamespaceHandle: ~Copyable, Sendable {
    package let kind: NamespaceKind
    package let descriptor: OwnedDescriptor
    /// Names the namespace among those that exist now; the number is given again later.
    package let inode: UInt64

    /// The namespace that a process is in. A number alone names no process: hold a `ProcessHandle`, open this,
    /// then see that the process still runs.
    ///
    /// - Throws: `ENOENT` or `ESRCH` when there is no such process, `EACCES` without the right to trace it.
    package init(_ kind: NamespaceKind, ofProcess id: Int32) throws(SystemCallError) {
        try self.init(kind, at: "/proc/\(id)/ns/\(kind.rawValue)")
    }

    /// A namespace by its file in `/proc` or by the file that it is mounted on.
    ///
    /// - Throws: `EINVAL` when the file is no namespace of this kind.
    package init(_ kind: NamespaceKind, at path: String) throws(SystemCallError) {
        let descriptor = try OwnedDescriptor.open(path, O_RDONLY)
        // A stale mount point is an ordinary file, which knows no such request.
        guard clinux_namespace_type(descriptor.rawValue) == kind.flag else {
            throw SystemCallError("ioctl NS_GET_NSTYPE", on: path, errno: .invalidArgument)
        }
        let inode = try descriptor.status(subject: path).st_ino
        self.kind = kind
        self.inode = UInt64(inode)
        self.descriptor = descriptor
    }
}

extension NamespaceHandle {
    /// The processes that are in it now, of all that `/proc` shows. Threads that are elsewhere than the rest of their
    /// process are not looked for.
    ///
    /// - Throws: When one of them could not be asked: "nobody" is never said for "could not look".
    package func processes() throws(SystemCallError) -> [Int32] {
        let subject = "\(kind.rawValue) namespace \(inode)"
        let own = try descriptor.status(subject: subject)
        var found: [Int32] = []
        for id in try TextFile.names(in: "/proc").compactMap({ Int32($0) }) {
            do throws(SystemCallError) {
                let other = try fileStatus(at: "/proc/\(id)/ns/\(kind.rawValue)")
                if other.st_ino == own.st_ino, other.st_dev == own.st_dev { found.append(id) }
            } catch {
                if !error.meansVanished { throw error }
            }
        }
        return found
    }
}

/// Enters the cgroup namespace of process 1, if the calling thread is not in it yet. Paths in `/proc/PID/cgroup` are
/// relative to the reader's cgroup namespace, and from a private one `CLONE_INTO_CGROUP` and moves to other cgroups
/// fail with `ENOENT` under the mount option `nsdelegate`. Other threads stay where they are: call it before there
/// are any, and open cgroup files only after it.
///
/// The corresponding system call is `setns(2)`.
package func enterHostCgroupNamespace() throws(SystemCallError) {
    let host = try NamespaceHandle(.cgroup, ofProcess: 1)
    let own = try NamespaceHandle(.cgroup, at: "/proc/thread-self/ns/cgroup")
    if host.inode == own.inode { return }
    try systemCall("setns", on: "cgroup namespace of process 1") {
        clinux_setns(host.descriptor.rawValue, host.kind.flag)
    }
}
