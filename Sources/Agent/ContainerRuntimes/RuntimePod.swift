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

    /// Reads a list of what `json` wrote; nil for anything else. What is called as nothing can be is left out, so that it
    /// keeps no other from being told.
    static func list(_ json: JSON) -> [RuntimePod]? {
        guard let entries = json.arrayValue else { return nil }
        var pods: [RuntimePod] = []
        for entry in entries {
            guard entry["uid"]?.stringValue != nil, let containers = entry["containers"]?.arrayValue,
                containers.allSatisfy({ $0["id"]?.stringValue != nil && $0["name"]?.stringValue != nil })
            else { return nil }
            guard let uid = entry.name("uid") else { continue }
            pods.append(RuntimePod(uid: uid, containers: containers.compactMap { Container($0) }))
        }
        return pods
    }
}

extension RuntimePod.Container {
    /// Nil where its names are no names.
    fileprivate init?(_ json: JSON) {
        guard let id = json.name("id"), let name = json.name("name") else { return nil }
        self.init(id: id, name: name, isRunning: json["running"] != .boolean(false))
    }
}
