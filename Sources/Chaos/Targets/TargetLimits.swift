package import Cgroups
package import ChaosModel

/// What holds a target back already, as it is now: anybody may change it at any time.
package struct TargetLimits: Sendable {
    /// Its processes are stopped, and none can be started beside them.
    package let isFrozen: Bool
    /// Nil for none.
    package let memory: MemoryLimit?
}

extension ResolvedTarget {
    /// - Throws: `target-gone`, `target-unresolvable`.
    package func limits() throws(Problem) -> TargetLimits {
        do throws(CgroupFileError) {
            return TargetLimits(isFrozen: try cgroup.isFrozen(), memory: try cgroup.memoryLimit())
        } catch {
            switch error {
            case .gone: throw Problem(.targetGone, "\(error)", field: "target")
            case .notEnabled, .unreadable, .system: throw Problem(.targetUnresolvable, "\(error)", field: "target")
            }
        }
    }
}
