import Cgroups
package import ChaosModel
import Glibc
import LinuxSystem
import Namespaces

/// A container of Docker's or Podman's may have joined another's network namespace, and a unit be in one that it names:
/// what hits the namespace hits all who are in it.
extension TargetResolver {
    package func strangers(inNetworkOf target: ResolvedTarget) async throws(Problem) -> [String] {
        guard target.mayShareNetwork else { return [] }
        let processes: [Int32]?
        do throws(SystemCallError) {
            processes = try target.withNetworkNamespace { (namespace) throws(SystemCallError) in
                try namespace.processes()
            }
        } catch {
            throw Self.unknownStrangers(error)
        }
        var strangers: Set<String> = []
        for id in processes ?? [] {
            if let path = try path(ofStranger: id, to: target) { strangers.insert(path) }
        }
        return strangers.sorted()
    }

    /// The cgroup of a process; nil where it is the target's or below it, and of one that has ended since.
    private func path(ofStranger id: Int32, to target: ResolvedTarget) throws(Problem) -> String? {
        do throws(CgroupOpeningError) {
            let path = try cgroups.path(ofProcess: id)
            if "\(path)/".hasPrefix("\(target.cgroup.path)/") { return nil }
            // A worker of ours looks names up there, and is gone in a moment.
            return try isOurs(id) ? nil : path
        } catch {
            if case .system(let error) = error, error.errno == .noEntry || error.errno == .noProcess { return nil }
            throw Self.unknownStrangers(error)
        }
    }

    private func isOurs(_ id: Int32) throws(CgroupOpeningError) -> Bool {
        do throws(SystemCallError) {
            return try ProcessFacts(ofProcess: id).parent == getpid()
        } catch {
            throw .system(error)
        }
    }

    private static func unknownStrangers(_ error: any Error) -> Problem {
        Problem(
            .targetUnresolvable, "who else is in the target's network could not be looked at: \(error)",
            field: "target")
    }
}
