import ChaosModel
import ContainerRuntimes
import LinuxSystem
import Synchronization
import Targets

/// Looks containers up through the runtimes process.
final class RuntimeContainerDirectory: ContainerDirectory {
    private let client: RuntimeClient
    /// However many sessions wait for a container, the runtime is asked for all of them at most once a second.
    private let known = Mutex<(at: BootInstant, pods: [RuntimePod])?>(nil)

    init(client: RuntimeClient) {
        self.client = client
    }

    func container(_ id: String) throws(Problem) -> RunningContainer {
        let container: RuntimeContainer
        do {
            container = try client.container(id)
        } catch {
            throw error.problem
        }
        return RunningContainer(container)
    }

    func container(named name: ContainerName) throws(Problem) -> RunningContainer {
        do {
            return RunningContainer(try client.container(named: name))
        } catch {
            throw error.problem
        }
    }

    func container(of pod: PodSelector) throws(Problem) -> RunningContainer {
        let pods = try pods(matching: pod, field: "target.pod")
        guard pods.count == 1 else {
            throw Problem(
                .targetAmbiguous, "\(pods.count) pods are meant", field: "target.pod",
                hint: "name one by its name or uid, or choose among them with \"pods\"")
        }
        guard let one = try Self.meant(in: pods[0], by: pod, field: "target.pod") else {
            let names = Set(pods[0].containers.map(\.name)).sorted()
            let reason = (pod.container ?? names.first).map { "the pod's container \($0) does not run" }
            throw Problem(
                .targetNotFound, reason ?? "the pod has no container", field: "target.pod",
                hint: names.isEmpty
                    ? "wait until it has begun" : "the pod has: \(names.prefix(16).joined(separator: ", "))")
        }
        return try container(named: one.name, one.id, of: pod, field: "target.pod")
    }

    func choice(of group: PodGroup, seed: Int64) throws(Problem) -> (chosen: [ChosenContainer], matched: Int) {
        let field = "target.pods"
        let pods = try pods(matching: group.pods, field: field)
        var meant: [(uid: String, RuntimePod.Container)] = []
        for pod in pods {
            do throws(Problem) {
                if let one = try Self.meant(in: pod, by: group.pods, field: field) { meant.append((pod.uid, one)) }
            } catch {
                throw Problem(
                    error.code, "\(error.message), that with the uid \(pod.uid)", field: error.field, hint: error.hint)
            }
        }
        guard !meant.isEmpty else {
            let name = group.pods.container.map { " \($0)" } ?? ""
            throw Problem(
                .targetNotFound, "of the \(pods.count) pods that match, none has a container\(name) that runs",
                field: field)
        }
        let places = group.chosen(of: meant.map(\.uid), seed: seed)
        guard places.count <= PodGroup.most else {
            throw Problem(
                .limitExceeded, "\(places.count) of \(meant.count) pods are meant, more than \(PodGroup.most)",
                field: field, hint: "a smaller percent, or \"count\": \(PodGroup.most)")
        }
        return (places.map { ChosenContainer(id: meant[$0].1.id, name: meant[$0].1.name) }, meant.count)
    }

    func container(_ chosen: ChosenContainer, of group: PodGroup) throws(Problem) -> RunningContainer {
        do throws(Problem) {
            return try container(named: chosen.name, chosen.id, of: group.pods, field: "target.pods")
        } catch {
            throw Problem(
                error.code, "\(error.message), container \(chosen.id)", field: error.field, hint: error.hint)
        }
    }

    private func pods(matching selector: PodSelector, field: String) throws(Problem) -> [RuntimePod] {
        let pods: [RuntimePod]
        do throws(RuntimeFailure) { pods = try client.pods(matching: selector) } catch { throw error.problem }
        guard !pods.isEmpty else {
            throw Problem(
                .targetNotFound, "there is no such pod on this node", field: field,
                hint: "send the request to the node on which the pod runs; labels are those that it was started with")
        }
        return pods
    }

    /// The pod's container that is meant; nil while it does not run.
    private static func meant(
        in found: RuntimePod, by pod: PodSelector, field: String
    ) throws(Problem) -> RuntimePod.Container? {
        // Also what does not run now: which container is meant does not depend on the moment.
        let names = Set(found.containers.map(\.name)).sorted()
        guard pod.container != nil || names.count <= 1 else {
            throw Problem(
                .targetAmbiguous, "the pod has \(names.count) containers", field: field,
                hint: "name one: \(names.prefix(16).joined(separator: ", "))")
        }
        let meant = found.containers.filter { $0.isRunning && $0.name == pod.container ?? names.first }
        guard let one = meant.first, meant.count == 1, TargetSelector.containerIdentifier(one.id) == one.id else {
            return nil
        }
        return one
    }

    private func container(
        named name: String, _ id: String, of pod: PodSelector, field: String
    ) throws(Problem) -> RunningContainer {
        let container = try container(id)
        // Asked twice, the runtime has to say the same.
        let facts = container.facts
        guard facts.namespace == pod.namespace, facts.name == name, pod.name.map({ $0 == facts.pod }) ?? true,
            pod.uid.map({ $0 == facts.podUID }) ?? true
        else {
            throw Problem(.targetUnresolvable, "container \(id) is said to be of two pods", field: field)
        }
        return container
    }

    func successor(of container: TargetFacts.Container) throws(Problem) -> Successor<RunningContainer> {
        // Nothing tells a pod without one from others.
        if container.podUID.isEmpty, !container.isStandalone { return .notYet }
        do throws(RuntimeFailure) {
            // A new pod with the old one's name is another one.
            let pods = try pods().filter { $0.uid == container.podUID }
            guard !pods.isEmpty else {
                // A daemon that tells of no container tells that, too; only one that does not answer is left out.
                if container.isStandalone {
                    throw .unreachable(reason: "neither Docker nor Podman tells of its containers")
                }
                return .never
            }
            let candidates = pods.flatMap(\.containers).filter {
                ($0.id != container.id || container.isStandalone) && $0.name == container.name
                    && TargetSelector.containerIdentifier($0.id) == $0.id
            }
            // One at most is running, or two for a moment.
            for candidate in candidates.prefix(4) {
                do throws(RuntimeFailure) {
                    let found = try client.container(candidate.id)
                    if (found.sandbox == nil) == container.isStandalone { return .found(RunningContainer(found)) }
                } catch {
                    // It ended since it was listed.
                    if error == .notFound { continue }
                    if case .notRunning = error { continue }
                    throw error
                }
            }
            // A container that was removed may be made anew.
            return .notYet
        } catch {
            throw error.problem
        }
    }

    func count() throws(Problem) -> Int {
        do throws(RuntimeFailure) {
            return try pods().reduce(0) { $0 + $1.containers.count }
        } catch {
            throw error.problem
        }
    }

    private func pods() throws(RuntimeFailure) -> [RuntimePod] {
        if let known = known.withLock({ $0 }), BootInstant.now - known.at < .seconds(1) { return known.pods }
        let pods = try client.pods()
        known.withLock { $0 = (.now, pods) }
        return pods
    }
}

extension RunningContainer {
    fileprivate init(_ container: RuntimeContainer) {
        let facts: TargetFacts.Container
        if let pod = container.sandbox {
            facts = TargetFacts.Container(
                id: container.id, name: container.name, pod: pod.podName, namespace: pod.podNamespace,
                podUID: pod.podUID)
        } else {
            facts = TargetFacts.Container(id: container.id, standaloneNamed: container.name)
        }
        self.init(facts: facts, processID: container.processID, annotations: container.sandbox?.annotations ?? [:])
    }
}
