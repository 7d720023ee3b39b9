package import ChaosModel

/// One of the node's pods in a list, with its containers that run: enough to choose one, and then to ask for it by its
/// identifier. A pod whose sandbox was made anew is there twice for a while. Containers that are no pod's are those of one
/// without a uid.
package struct RuntimePod: Hashable, Sendable {
    package struct Container: Hashable, Sendable {
        package let id: String
        /// The name within the pod.
        package let name: String

        /// False only where all were asked for, as by `find`.
        package let isRunning: Bool

        package init(id: String, name: String, isRunning: Bool = true) {
            self.id = id
            self.name = name
            self.isRunning = isRunning
        }
    }

    package let uid: String
    package let containers: [Container]

    package init(uid: String, containers: [Container]) {
        self.uid = uid
        self.containers = containers
    }
}

extension RuntimePod {
    package var json: JSON {
        let containers = containers.map {
            JSON.object([
                ("id", .string($0.id)), ("name", .string($0.name)), ("running", $0.isRunning ? nil : .boolean(false)),
            ])
        }
        return ["uid": .string(uid), "containers": .array(containers)]
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        guard let uid = json.name("uid"), let containers = json["containers"]?.arrayValue else { return nil }
        self.uid = uid
        self.containers = containers.compactMap { container in
            guard let id = container.name("id"), let name = container.name("name") else { return nil }
            return Container(id: id, name: name, isRunning: container["running"] != .boolean(false))
        }
        guard self.containers.count == containers.count else { return nil }
    }
}
