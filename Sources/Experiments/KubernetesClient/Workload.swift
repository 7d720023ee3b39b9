import ChaosModel

/// Where the API has each kind of thing that owns pods.
package struct WorkloadKind: Hashable, Sendable {
    /// In lower case, as `deployment`.
    package let word: String
    /// As `/apis/apps/v1`.
    let group: String
    let plural: String

    package static let all = [
        WorkloadKind(word: "deployment", group: "/apis/apps/v1", plural: "deployments"),
        WorkloadKind(word: "statefulset", group: "/apis/apps/v1", plural: "statefulsets"),
        WorkloadKind(word: "daemonset", group: "/apis/apps/v1", plural: "daemonsets"),
        replicaSet,
        WorkloadKind(word: "deploymentconfig", group: "/apis/apps.openshift.io/v1", plural: "deploymentconfigs"),
        WorkloadKind(word: "rollout", group: "/apis/argoproj.io/v1alpha1", plural: "rollouts"),
        WorkloadKind(word: "job", group: "/apis/batch/v1", plural: "jobs"),
    ]

    static let replicaSet = WorkloadKind(word: "replicaset", group: "/apis/apps/v1", plural: "replicasets")
    static let replicationController = WorkloadKind(
        word: "replicationcontroller", group: "/api/v1", plural: "replicationcontrollers")

    /// Nil for a kind that nobody knows.
    package init?(_ word: String) {
        guard let kind = Self.all.first(where: { $0.word == word.lowercased() }) else { return nil }
        self = kind
    }

    fileprivate init(word: String, group: String, plural: String) {
        (self.word, self.group, self.plural) = (word, group, plural)
    }

    func path(in namespace: String) throws(KubernetesError) -> APIPath {
        try APIPath(group, "namespaces", namespace, plural)
    }
}

/// Something that owns pods.
package struct Workload: Hashable, Sendable {
    package let kind: WorkloadKind
    package let namespace: String
    package let name: String
    package let uid: String
    package let labels: [String: String]
    package let annotations: [String: String]
    /// Selects its pods, and maybe others.
    let selector: String

    init?(_ object: JSON, kind: WorkloadKind) {
        guard let metadata = object["metadata"], let namespace = metadata["namespace"]?.stringValue,
            let name = metadata["name"]?.stringValue, let uid = metadata["uid"]?.stringValue
        else { return nil }
        (self.kind, self.namespace, self.name, self.uid) = (kind, namespace, name, uid)
        labels = metadata.texts("labels")
        annotations = metadata.texts("annotations")
        selector = Self.selector(object["spec"]?["selector"])
    }

    /// A LabelSelector as the API's queries have it. A DeploymentConfig's is a mapping without more.
    private static func selector(_ json: JSON?) -> String {
        guard let json else { return "" }
        let isPlain = json["matchLabels"] == nil && json["matchExpressions"] == nil
        let labels = isPlain ? json : json["matchLabels"] ?? [:]
        var parts = (labels.members ?? []).compactMap { member in
            member.value.stringValue.map { "\(member.name)=\($0)" }
        }
        for expression in json["matchExpressions"]?.arrayValue ?? [] {
            let key = expression["key"]?.stringValue ?? ""
            let values = (expression["values"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: ",")
            switch expression["operator"]?.stringValue {
            case "In": parts.append("\(key) in (\(values))")
            case "NotIn": parts.append("\(key) notin (\(values))")
            case "Exists": parts.append(key)
            case "DoesNotExist": parts.append("!\(key)")
            default: break
            }
        }
        return parts.joined(separator: ",")
    }
}

extension KubernetesClient {
    package func pods(in namespace: String, labels: String = "") throws(KubernetesError) -> [ClusterPod] {
        try list(APIPath("/api/v1", "namespaces", namespace, "pods"), labels: labels).compactMap(ClusterPod.init)
    }

    package func pod(_ name: String, in namespace: String) throws(KubernetesError) -> ClusterPod {
        let path = try APIPath("/api/v1", "namespaces", namespace, "pods", name)
        guard let pod = ClusterPod(try get(path)) else { throw KubernetesError(status: nil, "GET \(path): no pod") }
        return pod
    }

    package func workload(
        _ kind: WorkloadKind, _ name: String, in namespace: String
    ) throws(KubernetesError) -> Workload {
        let path = try kind.path(in: namespace).appending(name)
        guard let workload = Workload(try get(path), kind: kind) else {
            throw KubernetesError(status: nil, "GET \(path): no \(kind.word)")
        }
        return workload
    }

    package func workloads(
        _ kind: WorkloadKind, in namespace: String, labels: String
    ) throws(KubernetesError) -> [Workload] {
        try list(try kind.path(in: namespace), labels: labels).compactMap { Workload($0, kind: kind) }
    }

    /// The pods that belong to a workload, by their owners: what merely has the same labels does not.
    package func pods(of workload: Workload) throws(KubernetesError) -> [ClusterPod] {
        guard !workload.selector.isEmpty else { return [] }
        let candidates = try pods(in: workload.namespace, labels: workload.selector)
        var owners = [workload.uid]
        if let between = Self.kindBetween(workload.kind) {
            owners += try list(try between.path(in: workload.namespace), labels: workload.selector)
                .filter { ClusterPod.Owner(of: $0)?.uid == workload.uid }
                .compactMap { $0["metadata"]?["uid"]?.stringValue }
        }
        return candidates.filter { pod in pod.controller.map { owners.contains($0.uid) } ?? false }
    }

    /// What a pod belongs to in the end: not a ReplicaSet, but its Deployment.
    ///
    /// - Parameter known: What was found out before.
    package func workload(
        of pod: ClusterPod, _ known: inout [ClusterPod.Owner: ClusterPod.Owner?]
    ) throws(KubernetesError) -> ClusterPod.Owner? {
        guard let owner = pod.controller else { return nil }
        let kinds = [WorkloadKind.replicaSet, .replicationController]
        guard let kind = kinds.first(where: { $0.word == owner.kind.lowercased() }) else { return owner }
        if let found = known[owner] { return found }
        let object = try get(kind.path(in: pod.namespace).appending(owner.name))
        let found = ClusterPod.Owner(of: object) ?? owner
        known[owner] = found
        return found
    }

    package func workload(of pod: ClusterPod) throws(KubernetesError) -> ClusterPod.Owner? {
        var known: [ClusterPod.Owner: ClusterPod.Owner?] = [:]
        return try workload(of: pod, &known)
    }

    /// This one, and not another of its name.
    ///
    /// - Parameter gracePeriod: Nil for its own.
    package func delete(_ pod: ClusterPod, gracePeriod: Duration?) throws(KubernetesError) {
        try delete(
            APIPath("/api/v1", "namespaces", pod.namespace, "pods", pod.name),
            // Zero is at once: what is less than a second is not that.
            gracePeriod: gracePeriod.map { Int64(($0 / .seconds(1)).rounded(.up)) }, uid: pod.uid)
    }

    /// What stands between a workload and its pods.
    private static func kindBetween(_ kind: WorkloadKind) -> WorkloadKind? {
        switch kind.word {
        case "deployment", "rollout": .replicaSet
        case "deploymentconfig": .replicationController
        default: nil
        }
    }
}
