internal import LinuxSystem

package enum CgroupController: String, Hashable, Sendable {
    case cpu
    case cpuacct
    case cpuset
    case freezer
    /// On v1 `blkio`.
    case io
    case memory

    /// Of a hierarchy of v1.
    var separateName: String { self == .io ? "blkio" : rawValue }
}

/// Where this machine keeps its cgroups. Make it after `enterHostCgroupNamespace()`: paths, mounts and what may be
/// written all depend on the reader's cgroup namespace.
package final class CgroupTree: Sendable {
    package enum Layout: Sendable {
        /// cgroup v2: one hierarchy with every controller.
        case unified
        /// cgroup v1: a hierarchy for each controller, or for a few together. A v2 mount beside them ("hybrid") has no
        /// controllers and is only for membership.
        case perController
    }

    package let layout: Layout
    /// The hierarchy that names cgroups: a cgroup's path and id are those of its directory here. It is the only one of
    /// v2, and that of `cpu` on v1.
    let primary: Hierarchy
    /// All hierarchies, the primary one first.
    let hierarchies: [Hierarchy]

    package init() throws(CgroupOpeningError) {
        var unified: Hierarchy?
        var separate: [Hierarchy] = []
        for hierarchy in try Hierarchy.mounted() {
            switch hierarchy.version {
            case .v2: unified = unified ?? hierarchy
            case .v1: if !separate.contains(where: { $0.names == hierarchy.names }) { separate.append(hierarchy) }
            }
        }
        if let cpu = separate.first(where: { $0.names.contains(CgroupController.cpu.rawValue) }) {
            layout = .perController
            primary = cpu
            hierarchies = [cpu] + separate.filter { $0 !== cpu } + (unified.map { [$0] } ?? [])
        } else if let unified {
            layout = .unified
            primary = unified
            hierarchies = [unified]
        } else {
            throw .noHierarchy
        }
    }
}

extension CgroupTree {
    /// The top of each hierarchy.
    package var roots: [CgroupDirectory] {
        get throws(CgroupOpeningError) {
            do throws(SystemCallError) {
                var roots: [CgroupDirectory] = []
                for hierarchy in hierarchies {
                    roots.append(CgroupDirectory(hierarchy, try hierarchy.directory(at: "/")))
                }
                return roots
            } catch {
                throw .system(error)
            }
        }
    }

    /// A cgroup directly below the top, in each hierarchy; one that is there already will do.
    ///
    /// The corresponding system call is `mkdirat(2)`.
    package func makeCgroup(named name: String) throws(CgroupOpeningError) -> Cgroup {
        do throws(SystemCallError) {
            for hierarchy in hierarchies { try hierarchy.makeCgroup(named: name) }
        } catch {
            throw .system(error)
        }
        return try cgroup(at: "/\(name)")
    }
}
