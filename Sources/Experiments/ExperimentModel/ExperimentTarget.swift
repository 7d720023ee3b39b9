package import ChaosModel
package import KubernetesClient

/// Whom a step hits: as the API has it, or by what owns pods in a cluster.
package enum ExperimentTarget: Hashable, Sendable {
    /// The agents are asked.
    case agents(InjectionTarget)
    /// The cluster is asked, and then the agents of the nodes.
    case workload(WorkloadTarget)

    /// Reads an `InjectionTarget`, or `{"workload": {"kind": "deployment", "namespace": "shop", "name": "web", "percent": 50}}`.
    package init(_ json: JSON) throws(Problem) {
        if let members = json.members, members.count == 1, let workload = json["workload"] {
            self = .workload(try WorkloadTarget(workload, field: "target.workload"))
        } else {
            self = .agents(try InjectionTarget(json))
        }
    }

    package var json: JSON {
        switch self {
        case .agents(let target): target.json
        case .workload(let workload): ["workload": workload.json]
        }
    }
}

/// So many of the pods that belong to workloads of one kind, by their name or their labels.
package struct WorkloadTarget: Hashable, Sendable {
    package let kind: WorkloadKind
    /// Where `name` and `labels` are those of the workload, not of its pods.
    package let group: PodGroup

    init(_ json: JSON, field: String) throws(Problem) {
        guard let members = json.members else {
            throw Problem(.fieldInvalid, "a workload is an object, not \(json.typeName)", field: field)
        }
        guard let kind = json["kind"]?.stringValue.flatMap({ WorkloadKind($0) }) else {
            let kinds = WorkloadKind.all.map(\.word).joined(separator: ", ")
            throw Problem(
                json["kind"] == nil ? .fieldMissing : .fieldInvalid, "a workload is of one of the kinds \(kinds)",
                field: "\(field).kind")
        }
        if json["uid"] != nil { throw Problem(.fieldUnknown, "unknown field", field: "\(field).uid") }
        self.kind = kind
        group = try PodGroup(.object(members.filter { $0.name != "kind" }), field: field)
    }

    package var json: JSON {
        .object([JSON.Member("kind", .string(kind.word))] + (group.json.members ?? []))
    }
}
