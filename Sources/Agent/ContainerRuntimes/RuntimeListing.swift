package import ChaosModel

/// One of the node's running containers in a list: enough to choose it, and then to ask for it by its identifier.
package struct RuntimeListing: Hashable, Sendable {
    package let id: String
    package let name: String
    package let podName: String
    package let podNamespace: String

    package init(id: String, name: String, podName: String, podNamespace: String) {
        self.id = id
        self.name = name
        self.podName = podName
        self.podNamespace = podNamespace
    }
}

extension RuntimeListing {
    package var json: JSON {
        [
            "id": .string(id), "name": .string(name), "pod": .string(podName), "namespace": .string(podNamespace),
        ]
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        guard let id = json["id"]?.stringValue, let name = json["name"]?.stringValue,
            let podName = json["pod"]?.stringValue, let podNamespace = json["namespace"]?.stringValue
        else { return nil }
        self.init(id: id, name: name, podName: podName, podNamespace: podNamespace)
    }
}
