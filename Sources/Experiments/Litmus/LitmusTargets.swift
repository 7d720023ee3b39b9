import ChaosModel
import KubernetesClient

/// Whom a Litmus experiment means, by Litmus's rules.
struct LitmusTargets: Sendable {
    /// One part of `TARGETS`, as `deployment:shop:[app=web]`.
    struct Entry: Hashable, Sendable {
        let kind: String
        let namespace: String
        let names: [String]
        let labels: [String]
    }

    /// The kind that stands for all pods of a namespace.
    private static let anyKind = "KIND"

    let entries: [Entry]
    /// Nil for those of the entries.
    let names: [String]
    let namespace: String
    private let percent: Int64
    private let nodeLabel: String
    /// Whether a pod's owner has to have this annotation with the value `true`.
    private let annotation: String?

    /// - Parameter engine: What a ChaosEngine means, for where no operator has said so in the environment.
    init(_ settings: LitmusSettings, engine: JSON?) throws(LitmusError) {
        entries = try Self.entries(settings, engine)
        names = settings.list("TARGET_PODS", "TARGET_POD")
        guard let namespace = entries.first?.namespace ?? settings["CHAOS_NAMESPACE"] else {
            throw LitmusError(.targets, "neither TARGETS nor CHAOS_NAMESPACE says which namespace is meant")
        }
        self.namespace = namespace
        guard !entries.isEmpty || !names.isEmpty else {
            throw LitmusError(.targets, "provide one of the appLabel or TARGET_PODS")
        }
        percent = try settings.number("PODS_AFFECTED_PERC", otherwise: 0)
        nodeLabel = settings.text("NODE_LABEL")
        let isChecked =
            settings["ANNOTATION_CHECK"] ?? engine?["spec"]?["annotationCheck"].map { $0.stringValue ?? $0.text }
        annotation = isChecked == "true" ? settings.text("ANNOTATION_KEY", otherwise: "litmuschaos.io/chaos") : nil
    }

    private static func entries(_ settings: LitmusSettings, _ engine: JSON?) throws(LitmusError) -> [Entry] {
        if let text = settings["TARGETS"] {
            var entries: [Entry] = []
            for part in text.split(separator: ";") { entries.append(try entry(String(part).withoutBlanks)) }
            return entries
        }
        let own = engine?["metadata"]?["namespace"]?.stringValue ?? settings["CHAOS_NAMESPACE"] ?? ""
        if let selectors = engine?["spec"]?["selectors"] {
            let workloads = try (selectors["workloads"]?.arrayValue ?? []).map { workload throws(LitmusError) in
                guard let kind = workload["kind"]?.stringValue, !kind.isEmpty else {
                    throw LitmusError(.targets, "a workload of the engine's selectors has no kind")
                }
                let names = workload["names"]?.stringValue ?? ""
                return Entry(
                    kind: kind,
                    namespace: workload["namespace"]?.stringValue ?? own,
                    names: parts(names), labels: names.isEmpty ? parts(workload["labels"]?.stringValue ?? "") : [])
            }
            let pods = (selectors["pods"]?.arrayValue ?? []).map { pod in
                Entry(
                    kind: "pod", namespace: pod["namespace"]?.stringValue ?? own,
                    names: parts(pod["names"]?.stringValue ?? ""), labels: [])
            }
            return workloads.isEmpty ? pods : workloads
        }
        let appinfo = engine?["spec"]?["appinfo"]
        let namespace = settings["APP_NAMESPACE"] ?? appinfo?["appns"]?.stringValue ?? ""
        let label = settings["APP_LABEL"] ?? appinfo?["applabel"]?.stringValue ?? ""
        let kind = settings["APP_KIND"] ?? appinfo?["appkind"]?.stringValue ?? ""
        guard !namespace.isEmpty || !label.isEmpty || !kind.isEmpty else { return [] }
        guard kind.isEmpty == label.isEmpty else {
            throw LitmusError(.targets, "incomplete appinfo, provide appkind and applabel both")
        }
        // Before version 3 the labels of appinfo were all meant together.
        return [
            Entry(
                kind: kind.isEmpty ? anyKind : kind.lowercased(), namespace: namespace.isEmpty ? own : namespace,
                names: [], labels: label.isEmpty ? [] : [label])
        ]
    }

    private static func entry(_ text: String) throws(LitmusError) -> Entry {
        let fields = text.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false).map(String.init)
        guard fields.count == 3, !fields[0].isEmpty, !fields[1].isEmpty else {
            throw LitmusError(.targets, "TARGETS is kind:namespace:[names or labels], not \(text.cut(to: 100))")
        }
        var list = Substring(fields[2])
        if list.first == "[" { list = list.dropFirst() }
        if list.last == "]" { list = list.dropLast() }
        let isLabels = list.contains("=")
        return Entry(
            kind: fields[0], namespace: fields[1], names: isLabels ? [] : parts(String(list)),
            labels: isLabels ? parts(String(list)) : [])
    }

    private static func parts(_ list: String) -> [String] {
        list.split(separator: ",").map { String($0).withoutBlanks }.filter { !$0.isEmpty }
    }

    /// Whether pods are meant by their own names, under which others do not come.
    var isByName: Bool { !names.isEmpty || entries.contains { $0.kind == "pod" } }

    // MARK: Who that is now

    /// As many as are to be hit.
    func chosen(of cluster: KubernetesClient) throws -> [ClusterPod] {
        if !names.isEmpty {
            let pods = try names.map { name in
                do throws(KubernetesError) {
                    return try cluster.pod(name, in: namespace)
                } catch {
                    guard error.isNotFound else { throw error }
                    throw LitmusError(.targets, "pod \(name) does not exist in \(namespace), and TARGET_PODS names it")
                }
            }
            let meant = try annotated(pods, cluster)
            guard let other = pods.first(where: { pod in !meant.contains { $0.uid == pod.uid } }) else { return pods }
            throw LitmusError(.targets, "the owner of pod \(other.name) is not annotated \(annotation ?? "")=true")
        }
        let all = try candidates(cluster).filter { $0.phase == "Running" }
        guard !all.isEmpty else { throw LitmusError(.targets, "no target pods found") }
        if entries.contains(where: { $0.kind == "pod" }) { return all }
        let wanted = min(all.count, max(1, all.count * Int(min(max(percent, 0), 100)) / 100))
        // Those that follow each other from somewhere on.
        let start = Int.random(in: 0..<all.count)
        return (0..<wanted).map { all[(start + $0) % all.count] }
    }

    /// All that the entries mean and that are not on their way out.
    func candidates(_ cluster: KubernetesClient) throws -> [ClusterPod] {
        var found: [ClusterPod] = []
        for entry in entries {
            for pod in try pods(of: entry, cluster) where !found.contains(where: { $0.uid == pod.uid }) {
                found.append(pod)
            }
        }
        found = found.filter { !$0.isLeaving }
        guard !found.isEmpty else { throw LitmusError(.targets, "no target pods found") }
        found = try annotated(found, cluster)
        guard !found.isEmpty else {
            throw LitmusError(.targets, "no target pod's owner is annotated \(annotation ?? "")=true")
        }
        guard !nodeLabel.isEmpty else { return found }
        let nodes = try cluster.list(APIPath("/api/v1", "nodes"), labels: nodeLabel).compactMap {
            $0["metadata"]?["name"]?.stringValue
        }
        guard !nodes.isEmpty else { throw LitmusError(.targets, "no nodes found with matching labels") }
        found = found.filter { nodes.contains($0.node) }
        guard !found.isEmpty else { throw LitmusError(.targets, "no pod found on specified node(s)") }
        return found
    }

    private func pods(of entry: Entry, _ cluster: KubernetesClient) throws -> [ClusterPod] {
        switch entry.kind {
        case "pod": return try entry.names.map { try cluster.pod($0, in: entry.namespace) }
        case Self.anyKind:
            return try cluster.pods(in: entry.namespace).filter {
                $0.labels["chaosUID", default: ""].isEmpty && $0.labels["name"] != "chaos-operator"
            }
        default:
            guard let kind = WorkloadKind(entry.kind) else {
                throw LitmusError(.targets, "nobody knows the kind \(entry.kind.cut(to: 64))")
            }
            if !entry.names.isEmpty {
                return try entry.names.flatMap { name in
                    try cluster.pods(of: try cluster.workload(kind, name, in: entry.namespace))
                }
            }
            var owners: [ClusterPod.Owner: ClusterPod.Owner?] = [:]
            return try entry.labels.flatMap { label in
                try cluster.pods(in: entry.namespace, labels: label).filter { pod in
                    try cluster.workload(of: pod, &owners)?.kind.lowercased() == kind.word
                }
            }
        }
    }

    private func annotated(_ pods: [ClusterPod], _ cluster: KubernetesClient) throws -> [ClusterPod] {
        guard let annotation else { return pods }
        var owners: [ClusterPod.Owner: ClusterPod.Owner?] = [:]
        var verdicts: [String: Bool] = [:]
        return try pods.filter { pod in
            guard let owner = try cluster.workload(of: pod, &owners), let kind = WorkloadKind(owner.kind) else {
                return pod.annotations[annotation] == "true"
            }
            if let known = verdicts[owner.uid] { return known }
            let isMeant = try cluster.workload(kind, owner.name, in: pod.namespace).annotations[annotation] == "true"
            verdicts[owner.uid] = isMeant
            return isMeant
        }
    }
}
