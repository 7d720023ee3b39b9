internal import CLinux
internal import Glibc
internal import LinuxSystem

/// One mounted hierarchy of cgroups.
final class Hierarchy: Sendable {
    enum Version: Sendable {
        case v1
        case v2
    }

    let version: Version
    /// Its controllers (v1), and `name=…` of one that only groups.
    let names: Set<String>
    private let root: OwnedDescriptor

    /// The hierarchies that this process sees whole: a mount of only a part (a container's own) shows no other cgroup.
    static func mounted() throws(CgroupOpeningError) -> [Hierarchy] {
        do throws(SystemCallError) {
            var hierarchies: [Hierarchy] = []
            for mount in try MountEntry.all() where mount.root == "/" {
                if let hierarchy = try Hierarchy(mount) { hierarchies.append(hierarchy) }
            }
            return hierarchies
        } catch {
            throw .system(error)
        }
    }

    /// Nil when it is no mount of cgroups, or another mount covers it.
    private init?(_ mount: MountEntry) throws(SystemCallError) {
        switch mount.type {
        case "cgroup": version = .v1
        case "cgroup2": version = .v2
        default: return nil
        }
        let root = try OwnedDescriptor.open(mount.mountPoint, O_RDONLY | O_DIRECTORY)
        guard try root.status(subject: mount.mountPoint).st_dev == mount.device else { return nil }
        names = Set(mount.options).subtracting(["rw", "ro", "xattr"])
        self.root = root
    }

    /// A cgroup's directory, or the root's: no `..` and no symbolic link leads anywhere else.
    ///
    /// The corresponding system call is `openat2(2)`.
    func directory(at path: String) throws(SystemCallError) -> OwnedDescriptor {
        let resolve =
            CLINUX_RESOLVE_BENEATH | CLINUX_RESOLVE_NO_SYMLINKS | CLINUX_RESOLVE_NO_MAGICLINKS | CLINUX_RESOLVE_NO_XDEV
        return OwnedDescriptor(
            adopting: try systemCall("openat2", on: "cgroup \(path)") {
                clinux_openat2(
                    root.rawValue, "." + path, UInt64(O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0,
                    UInt64(resolve))
            })
    }

    /// Below the root. On v1 it gets all CPUs and memory nodes, without which no process could enter it.
    func makeCgroup(named name: String) throws(SystemCallError) {
        let raw = root.rawValue
        do throws(SystemCallError) {
            try systemCall("mkdirat", on: "cgroup /\(name)") { mkdirat(raw, name, 0o755) }
        } catch {
            if error.errno != .exists { throw error }
        }
        guard version == .v1, names.contains(CgroupController.cpuset.rawValue) else { return }
        let made = try directory(at: "/\(name)")
        for file in ["cpuset.cpus", "cpuset.mems"] {
            guard try TextFile.read(file, in: made).allSatisfy(\.isWhitespace) else { continue }
            try TextFile.write(try TextFile.read(file, in: root), to: file, in: made)
        }
    }
}
