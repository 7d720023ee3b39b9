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
        guard let id = json.name("id"), let name = json.name("name"), let podName = json.name("pod"),
            let podNamespace = json.name("namespace")
        else { return nil }
        self.init(id: id, name: name, podName: podName, podNamespace: podNamespace)
    }
}
