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

    func container(of pod: PodSelector) throws(Problem) -> RunningContainer {
        let field = "target.pod"
        let pods: [RuntimePod]
        do throws(RuntimeFailure) { pods = try client.pods(matching: pod) } catch { throw error.problem }
        guard let found = pods.first else {
            throw Problem(
                .targetNotFound, "there is no such pod on this node", field: field,
                hint: "send the request to the node on which the pod runs; labels are those that it was started with")
        }
        guard pods.count == 1 else {
            throw Problem(
                .targetAmbiguous, "\(pods.count) pods are meant", field: field, hint: "name one by its name or uid")
        }
        // Also what does not run now: which container is meant does not depend on the moment.
        let names = Set(found.containers.map(\.name)).sorted()
        guard pod.container != nil || names.count == 1 else {
            throw Problem(
                names.isEmpty ? .targetNotFound : .targetAmbiguous, "the pod has \(names.count) containers",
                field: field,
                hint: names.isEmpty
                    ? "wait until it has begun" : "name one: \(names.prefix(16).joined(separator: ", "))")
        }
        let meant = found.containers.filter { $0.isRunning && $0.name == pod.container ?? names.first }
        guard let one = meant.first, meant.count == 1, TargetSelector.containerIdentifier(one.id) == one.id else {
            throw Problem(
                .targetNotFound, "the pod's container \(pod.container ?? names.first ?? "") does not run", field: field,
                hint: names.isEmpty ? nil : "the pod has: \(names.prefix(16).joined(separator: ", "))")
        }
        let container = try container(one.id)
        // Asked twice, the runtime has to say the same.
        let facts = container.facts
        guard facts.namespace == pod.namespace, facts.name == one.name, pod.name.map({ $0 == facts.pod }) ?? true,
            pod.uid.map({ $0 == facts.podUID }) ?? true
        else {
            throw Problem(.targetUnresolvable, "container \(one.id) is said to be of two pods", field: field)
        }
        return container
    }

    func successor(of container: TargetFacts.Container) throws(Problem) -> Successor<RunningContainer> {
        // Nothing tells a pod without one from others.
        if container.podUID.isEmpty { return .notYet }
        do throws(RuntimeFailure) {
            // A new pod with the old one's name is another one.
            let pods = try pods().filter { $0.uid == container.podUID }
            if pods.isEmpty { return .never }
            let candidates = pods.flatMap(\.containers).filter {
                $0.id != container.id && $0.name == container.name
                    && TargetSelector.containerIdentifier($0.id) == $0.id
            }
            // One at most is running, or two for a moment.
            for candidate in candidates.prefix(4) {
                do throws(RuntimeFailure) {
                    return .found(RunningContainer(try client.container(candidate.id)))
                } catch {
                    // It ended since it was listed.
                    if error == .notFound { continue }
                    if case .notRunning = error { continue }
                    throw error
                }
            }
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
        self.init(
            facts: TargetFacts.Container(
                id: container.id, name: container.name, pod: container.sandbox.podName,
                namespace: container.sandbox.podNamespace, podUID: container.sandbox.podUID),
            processID: container.processID, annotations: container.sandbox.annotations)
    }
}
