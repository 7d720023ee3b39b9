import ChaosModel
import ExperimentRunner
import KubernetesClient
import LinuxSystem
import Synchronization

/// What is done to pods by the cluster, and what is seen of them there.
extension LitmusRun {
    // MARK: Pods that are deleted

    func deletePods(
        _ targets: LitmusTargets, _ recorder: Recorder, _ force: Bool, _ interval: Duration, _ isRandom: Bool,
        until end: BootInstant
    ) throws {
        let isSerial = try isSerial
        repeat {
            let pods = try targets.chosen(of: client)
            var owners: [ClusterPod.Owner] = []
            for pod in pods {
                let owner = try client.workload(of: pod)
                if let owner, !owners.contains(owner) { owners.append(owner) }
                let target = Self.target(
                    of: owner?.name ?? pod.name, owner?.kind.lowercased() ?? "pod", "targeted")
                targeted.withLock { if !$0.contains(target) { $0.append(target) } }
                do throws(KubernetesError) {
                    try client.delete(pod, gracePeriod: force ? .zero : nil)
                } catch {
                    guard error.isNotFound || error.status == 409 else { throw error }
                }
                recorder.tell("chaos", "pod \(pod.namespace)/\(pod.name) deleted")
                if isSerial, stop.wait(isRandom ? interval * Double.random(in: 0...1) : interval) { return }
            }
            if !isSerial, stop.wait(isRandom ? interval * Double.random(in: 0...1) : interval) { return }
            // Those that take their places.
            let patience = try settings.seconds("STATUS_CHECK_TIMEOUT", otherwise: 180)
            try waitForHealth(targets.isByName ? nil : targets, owners, of: pods, atMost: patience)
        } while BootInstant.now < end && stop.reason == nil
    }

    // MARK: Whether the application is well

    func check(_ targets: LitmusTargets) throws -> JSON? {
        guard !targets.entries.isEmpty else { return nil }
        try waitForHealth(targets, [], of: [], atMost: try settings.seconds("STATUS_CHECK_TIMEOUT", otherwise: 180))
        return nil
    }

    /// - Parameters:
    ///   - targets: Nil where names of pods are meant, which are gone.
    ///   - owners: Whose pods have to be well, too.
    private func waitForHealth(
        _ targets: LitmusTargets?, _ owners: [ClusterPod.Owner], of deleted: [ClusterPod], atMost patience: Duration
    ) throws {
        let pause = max(.milliseconds(100), try settings.seconds("STATUS_CHECK_DELAY", otherwise: 2))
        let givesUpAt = BootInstant.now + patience
        while true {
            var reason: String
            do {
                var pods = try targets?.candidates(client) ?? []
                for owner in owners {
                    guard let kind = WorkloadKind(owner.kind), let namespace = deleted.first?.namespace else {
                        continue
                    }
                    pods += try client.pods(of: try client.workload(kind, owner.name, in: namespace))
                }
                let ill = pods.first { !$0.isHealthy && !$0.isLeaving }
                guard let ill else { return }
                reason = "pod \(ill.name) is not ready, it is \(ill.phase)"
            } catch {
                reason = "\(error)"
            }
            guard BootInstant.now < givesUpAt else {
                throw LitmusError(.statusChecks, "the application is not well: \(reason)")
            }
            if stop.wait(pause) { return }
        }
    }

    /// After it was killed.
    func waitUntilReady(_ pod: ClusterPod, _ container: String, atMost patience: Duration) throws {
        let givesUpAt = BootInstant.now + patience
        while true {
            let now = try client.pod(pod.name, in: pod.namespace)
            if now.containers.contains(where: { $0.name == container && $0.isReady && $0.isRunning }) { return }
            guard BootInstant.now < givesUpAt else {
                throw LitmusError(.statusChecks, "container \(container) of \(pod.name) is not ready again")
            }
            if stop.wait(.seconds(1)) { return }
        }
    }
}
