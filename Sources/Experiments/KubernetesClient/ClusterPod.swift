package import ChaosModel

/// A pod as the API server knows it.
package struct ClusterPod: Hashable, Sendable {
    package struct Container: Hashable, Sendable {
        package let name: String
        /// As its runtime calls it; nil while it has none.
        package let id: String?
        package let isRunning: Bool
        package let isReady: Bool
    }

    package let namespace: String
    package let name: String
    package let uid: String
    package let node: String
    package let labels: [String: String]
    package let annotations: [String: String]
    package let phase: String
    package let address: String?
    package let hostAddress: String?
    /// Of its containers, by their names.
    package let ports: [String: UInt16]
    /// Without init containers.
    package let containers: [Container]
    /// Of each container that has one, in Kubernetes's words.
    package let ephemeralStorageLimits: [String: String]
    package let isLeaving: Bool
    /// Its controller's kind, name and uid.
    package let controller: Owner?

    package struct Owner: Hashable, Sendable {
        package let kind: String
        package let name: String
        package let uid: String

        init?(of object: JSON) {
            let owners = object["metadata"]?["ownerReferences"]?.arrayValue ?? []
            guard let owner = owners.first(where: { $0["controller"]?.booleanValue == true }),
                let kind = owner["kind"]?.stringValue, let name = owner["name"]?.stringValue,
                let uid = owner["uid"]?.stringValue
            else { return nil }
            (self.kind, self.name, self.uid) = (kind, name, uid)
        }
    }

    /// Nil for what is no pod.
    package init?(_ object: JSON) {
        guard let metadata = object["metadata"], let namespace = metadata["namespace"]?.stringValue,
            let name = metadata["name"]?.stringValue, let uid = metadata["uid"]?.stringValue
        else { return nil }
        (self.namespace, self.name, self.uid) = (namespace, name, uid)
        node = object["spec"]?["nodeName"]?.stringValue ?? ""
        labels = metadata.texts("labels")
        annotations = metadata.texts("annotations")
        let status = object["status"]
        phase = status?["phase"]?.stringValue ?? "Unknown"
        address = status?["podIP"]?.stringValue
        hostAddress = status?["hostIP"]?.stringValue
        let ports = (object["spec"]?["containers"]?.arrayValue ?? []).flatMap { $0["ports"]?.arrayValue ?? [] }
        self.ports = ports.reduce(into: [:]) { ports, port in
            guard let name = port["name"]?.stringValue else { return }
            ports[name] = port["containerPort"]?.integerValue.flatMap { UInt16(exactly: $0) }
        }
        isLeaving = metadata["deletionTimestamp"] != nil
        controller = Owner(of: object)
        ephemeralStorageLimits = (object["spec"]?["containers"]?.arrayValue ?? []).reduce(into: [:]) {
            limits, container in
            guard let name = container["name"]?.stringValue else { return }
            let limit = container["resources"]?["limits"]?["ephemeral-storage"]
            limits[name] = limit.map { $0.stringValue ?? $0.text }
        }
        let statuses = status?["containerStatuses"]?.arrayValue ?? []
        // In the order of the pod's specification, which is what "the first container" means.
        containers = (object["spec"]?["containers"]?.arrayValue ?? []).compactMap { container in
            guard let name = container["name"]?.stringValue else { return nil }
            let status = statuses.first { $0["name"]?.stringValue == name }
            let id = status?["containerID"]?.stringValue.flatMap(TargetSelector.containerIdentifier)
            return Container(
                name: name, id: id, isRunning: status?["state"]?["running"] != nil,
                isReady: status?["ready"]?.booleanValue == true)
        }
    }

    /// Whether all its containers run and are ready; one that has completed is all that it should be.
    package var isHealthy: Bool {
        phase == "Succeeded" || phase == "Running" && !containers.isEmpty && containers.allSatisfy(\.isReady)
    }
}

extension JSON {
    /// A mapping of names to texts, as labels are.
    package func texts(_ name: String) -> [String: String] {
        (self[name]?.members ?? []).reduce(into: [:]) { $0[$1.name] = $1.value.stringValue }
    }
}
