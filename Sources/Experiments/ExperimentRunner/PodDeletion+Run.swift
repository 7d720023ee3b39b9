import ChaosModel
import ExperimentModel
import KubernetesClient
import LinuxSystem

extension PodDeletion {
    /// Deletes pods, once or until its time is over: each time those that are there by then.
    ///
    /// - Parameter each: Is told of each that was deleted.
    func run(
        in context: JSON, cluster: Cluster, seed: Int64, stop: StopSignal, each: ([ClusterPod]) -> Void
    ) throws {
        let (target, group) = try resolved(in: context)
        let client = try cluster.client()
        let end = BootInstant.now + duration
        var round: Int64 = 0
        repeat {
            let found = try cluster.pods(target)
            guard !found.isEmpty else {
                // They may be on their way, after the first time.
                if round > 0 {
                    if stop.wait(min(interval, end - .now)) { return }
                    continue
                }
                throw StepFailure("the cluster has no such pod: \(target.json.text.cut(to: 200))")
            }
            guard group != nil || found.count == 1 else {
                throw StepFailure(
                    "its target is several pods, which only \"pods\" means: \(found.map(\.name).joined(separator: ", "))"
                )
            }
            let seed = (group?.seed ?? seed) &+ round
            let chosen = group?.chosen(of: found.map(\.uid), seed: seed).map { found[$0] } ?? found
            for pod in chosen {
                do throws(KubernetesError) {
                    try client.delete(pod, gracePeriod: gracePeriod)
                } catch {
                    // Somebody was faster.
                    guard error.isNotFound || error.status == 409 else { throw error }
                }
            }
            each(chosen)
            round += 1
            if stop.wait(min(interval, end - .now)) { return }
        } while BootInstant.now < end
    }
}

extension PodDeletion {
    private func resolved(in context: JSON) throws -> (ExperimentTarget, PodGroup?) {
        let target: ExperimentTarget
        let named = try self.target.value(in: context)
        do throws(Problem) {
            target = try ExperimentTarget(named)
            try Self.check(target)
        } catch {
            throw StepFailure("its target: \(error.message)" + (error.field.map { " (\($0))" } ?? ""))
        }
        switch target {
        case .workload(let workload): return (target, workload.group)
        case .agents(.pods(let group)): return (target, group)
        case .agents(.one): return (target, nil)
        }
    }

    /// Whom it would be, for people.
    func preview(in context: JSON, _ cluster: Cluster) -> String {
        do {
            let (target, group) = try resolved(in: context)
            let pods = try cluster.pods(target)
            let count = group?.share.number(of: pods.count) ?? pods.count
            return "would have \(count) of these deleted: \(pods.map(\.name).joined(separator: ", "))"
        } catch {
            return "\(error)"
        }
    }
}

extension ClusterPod {
    /// As later steps can refer to it.
    var json: JSON {
        [
            "agent": .string(node), "namespace": .string(namespace), "pod": .string(name), "podUID": .string(uid),
        ]
    }
}
