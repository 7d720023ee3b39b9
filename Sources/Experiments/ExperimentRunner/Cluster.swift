import ChaosModel
package import ExperimentModel
package import KubernetesClient
import LinuxSystem
import Synchronization

/// The cluster that an experiment is in, asked when something needs it: one without pods needs none.
package final class Cluster: Sendable {
    private let kubeconfig: String?
    private let known = Mutex<KubernetesClient?>(nil)

    /// - Parameter kubeconfig: Nil for the pod's own account, or the usual files.
    package init(kubeconfig: String? = nil) { self.kubeconfig = kubeconfig }

    package func client() throws(KubernetesError) -> KubernetesClient {
        if let client = known.withLock({ $0 }) { return client }
        let client = KubernetesClient(try .standard(kubeconfig: kubeconfig))
        known.withLock { $0 = client }
        return client
    }

    /// The agents that run, by their nodes; the nodes' labels, where one may see them.
    package func agents(_ pods: Inventory.Pods) throws -> [Inventory.Agent] {
        let client = try client()
        let found = try client.pods(in: pods.namespace, labels: pods.labelSelector)
            .filter { $0.phase == "Running" && !$0.isLeaving && !$0.node.isEmpty }
        guard !found.isEmpty else {
            throw StepFailure("no agent runs in \(pods.namespace) as a pod with \(pods.labelSelector)")
        }
        var labels: [String: [String: String]] = [:]
        do throws(KubernetesError) {
            for node in try client.list(APIPath("/api/v1", "nodes")) {
                guard let metadata = node["metadata"], let name = metadata["name"]?.stringValue else { continue }
                labels[name] = metadata.texts("labels")
            }
        } catch {
            guard error.isForbidden else { throw error }
        }
        // One that is replaced is there twice for a moment.
        let nodes = Dictionary(found.map { ($0.node, $0) }) { one, other in one.isHealthy ? one : other }
        return try nodes.values.sorted { $0.node < $1.node }.map { pod in
            guard let port = pods.port ?? pod.ports["tls"] else {
                throw StepFailure("the agent \(pod.name) has no port that is called tls")
            }
            guard let host = pods.usesHostAddress ? pod.hostAddress : pod.address else {
                throw StepFailure("the agent \(pod.name) has no address")
            }
            return Inventory.Agent(
                name: pod.node,
                endpoint: .tls(
                    Inventory.TLS(
                        address: "\(InternetAddress.bracketed(host)):\(port)",
                        serverName: pods.serverName, authorities: pods.authorities, certificate: pods.certificate,
                        key: pods.key)),
                labels: (labels[pod.node] ?? [:]).sorted { $0.key < $1.key }.map { (name: $0.key, value: $0.value) })
        }
    }

    /// The pods that are meant, without those that end already.
    func pods(_ target: ExperimentTarget) throws -> [ClusterPod] {
        let found: [ClusterPod]
        switch target {
        case .workload(let workload): found = try pods(of: workload)
        case .agents(.pods(let group)): found = try pods(group.pods)
        case .agents(.one(.pod(let pod))): found = try pods(pod)
        case .agents(.one): throw StepFailure("the cluster knows pods alone, not \(target.json.text.cut(to: 100))")
        }
        return found.filter { !$0.isLeaving }
    }

    private func pods(_ selector: PodSelector) throws -> [ClusterPod] {
        let labels = selector.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: ",")
        let found: [ClusterPod]
        if let name = selector.name {
            do throws(KubernetesError) {
                found = [try client().pod(name, in: selector.namespace)]
            } catch {
                if error.isNotFound { return [] }
                throw error
            }
        } else {
            found = try client().pods(in: selector.namespace, labels: labels)
        }
        return found.filter {
            selector.matches(namespace: $0.namespace, name: $0.name, uid: $0.uid, labels: $0.labels)
        }
    }

    private func pods(of target: WorkloadTarget) throws -> [ClusterPod] {
        let named = target.group.pods
        let client = try client()
        let workloads: [Workload]
        if let name = named.name {
            let workload = try client.workload(target.kind, name, in: named.namespace)
            workloads = [workload].filter { workload in
                named.labels.allSatisfy { workload.labels[$0.key] == $0.value }
            }
        } else {
            let labels = named.labels.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            workloads = try client.workloads(target.kind, in: named.namespace, labels: labels.joined(separator: ","))
        }
        guard !workloads.isEmpty else {
            throw StepFailure("no \(target.kind.word) is meant by \(target.json.text.cut(to: 200))")
        }
        var pods: [ClusterPod] = []
        for workload in workloads {
            for pod in try client.pods(of: workload) where !pods.contains(where: { $0.uid == pod.uid }) {
                pods.append(pod)
            }
        }
        return pods
    }
}
