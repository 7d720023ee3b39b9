import Cgroups
import ChaosModel
import Glibc
import LinuxSystem
import Namespaces

/// A unit of systemd is looked up where systemd has put it, among the cgroups: no message goes to systemd, which a fault may
/// have slowed down, or which is the one that is restarted.
extension TargetResolver {
    func unit(_ name: UnitName) throws(Problem) -> ResolvedTarget {
        let paths = try amongCgroups { () throws(CgroupOpeningError) in try cgroups.paths(ofUnit: "\(name)") }
        guard let path = paths.first else {
            throw Problem(
                .targetNotFound, "no unit \(name) runs on this node", field: "target.unit",
                hint:
                    "systemctl status \(name); one that is active (exited) has no processes: name the unit that has them"
            )
        }
        guard paths.count == 1 else {
            throw Problem(
                .targetAmbiguous, "several are called \(name): \(paths.joined(separator: ", "))", field: "target.unit",
                hint: "name one by its cgroup")
        }
        let cgroup = try open { () throws(CgroupOpeningError) in try cgroups.cgroup(at: path) }
        let main = try mainProcess(of: cgroup, name)
        return try process(main.id, startTime: main.startTime, ofUnit: name, in: cgroup)
    }

    /// The unit again, once it has another main process.
    func successor(of name: UnitName, _ facts: TargetFacts) throws(Problem) -> Successor<ResolvedTarget> {
        let target: ResolvedTarget
        do throws(Problem) {
            target = try unit(name)
        } catch {
            switch error.code {
            case .targetNotFound, .targetGone: return .notYet
            default: throw error
            }
        }
        return target.facts.process == facts.process ? .notYet : .found(target)
    }

    /// The oldest of those that process 1 is the parent of: systemd has started it, or has been given it by one that it
    /// started. Where there is none, as in a scope, the oldest of all.
    private func mainProcess(of cgroup: Cgroup, _ name: UnitName) throws(Problem) -> TargetFacts.Process {
        let ids: [Int32]
        do throws(CgroupFileError) {
            ids = try cgroup.processes()
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target.unit")
        }
        var all: [(id: Int32, facts: ProcessFacts)] = []
        for id in ids {
            // It may have ended since; a worker of ours is no part of the target.
            guard let facts = try? ProcessFacts(ofProcess: id), facts.parent != getpid() else { continue }
            all.append((id, facts))
        }
        let systemds = all.filter { $0.facts.parent == 1 }
        guard let main = (systemds.isEmpty ? all : systemds).min(by: { $0.facts.startTime < $1.facts.startTime }) else {
            throw Problem(
                .targetNotFound, "unit \(name) has no process of its own", field: "target.unit",
                hint: "one that keeps its processes in cgroups below its own is named by one of those")
        }
        return TargetFacts.Process(id: main.id, startTime: main.facts.startTime)
    }
}
