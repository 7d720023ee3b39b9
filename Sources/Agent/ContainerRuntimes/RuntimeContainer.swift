package import ChaosModel

/// A running container as its runtime tells of it. The process number is a hint: hold a handle to the process,
/// then ask again or compare what the kernel says, before anything is done to it.
package struct RuntimeContainer: Hashable, Sendable {
    package let id: String
    /// The name within its pod; of one that is no pod's, its name on this node.
    package let name: String
    /// The container's first process, in the runtime's process namespace: the host's.
    package let processID: Int32
    /// As the runtime says it: a path, or `slice:prefix:name` where systemd places the container.
    package let cgroupsPath: String?
    /// Nanoseconds since 1970; nil where the runtime tells it in words.
    package let createdAt: Int64?
    /// Nil for a container that is no pod's.
    package let sandbox: RuntimeSandbox?

    package init(
        id: String, name: String, processID: Int32, cgroupsPath: String?, createdAt: Int64?,
        sandbox: RuntimeSandbox?
    ) {
        self.id = id
        self.name = name
        self.processID = processID
        self.cgroupsPath = cgroupsPath
        self.createdAt = createdAt
        self.sandbox = sandbox
    }
}

/// The pod that a container is part of. Its labels and annotations are the pod's when the pod was started.
package struct RuntimeSandbox: Hashable, Sendable {
    package let id: String
    /// The process that keeps the pod's namespaces; nil where the runtime needs none.
    package let processID: Int32?
    package let podName: String
    package let podNamespace: String
    package let podUID: String
    package let labels: [String: String]
    package let annotations: [String: String]
    /// Whether the pod shares the node's network namespace.
    package let usesHostNetwork: Bool

    package init(
        id: String, processID: Int32?, podName: String, podNamespace: String, podUID: String,
        labels: [String: String], annotations: [String: String], usesHostNetwork: Bool
    ) {
        self.id = id
        self.processID = processID
        self.podName = podName
        self.podNamespace = podNamespace
        self.podUID = podUID
        self.labels = labels
        self.annotations = annotations
        self.usesHostNetwork = usesHostNetwork
    }
}

extension RuntimeContainer {
    package var json: JSON {
        .object([
            ("id", .string(id)),
            ("name", .string(name)),
            ("pid", .integer(Int64(processID))),
            ("cgroupsPath", cgroupsPath.map(JSON.string)),
            ("createdAt", createdAt.map(JSON.integer)),
            ("sandbox", sandbox?.json),
        ])
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        guard let id = json.name("id"), let name = json.name("name"),
            let processID = json["pid"]?.integerValue.flatMap({ Int32(exactly: $0) }), processID > 0,
            (json["createdAt"] == nil) == (json["createdAt"]?.integerValue == nil)
        else { return nil }
        let sandbox = json["sandbox"].flatMap { RuntimeSandbox($0) }
        guard (json["sandbox"] == nil) == (sandbox == nil) else { return nil }
        self.init(
            id: id, name: name, processID: processID, cgroupsPath: json["cgroupsPath"]?.stringValue,
            createdAt: json["createdAt"]?.integerValue, sandbox: sandbox)
    }
}

extension RuntimeSandbox {
    var json: JSON {
        .object([
            ("id", .string(id)),
            ("pid", processID.map { .integer(Int64($0)) }),
            ("name", .string(podName)),
            ("namespace", .string(podNamespace)),
            ("uid", .string(podUID)),
            ("labels", Self.object(labels)),
            ("annotations", Self.object(annotations)),
            ("hostNetwork", .boolean(usesHostNetwork)),
        ])
    }

    init?(_ json: JSON) {
        guard let id = json.name("id"), let podName = json.name("name"), let podNamespace = json.name("namespace"),
            let podUID = json.name("uid"),
            let labels = json["labels"].flatMap({ Self.dictionary($0) }),
            let annotations = json["annotations"].flatMap({ Self.dictionary($0) }),
            let usesHostNetwork = json["hostNetwork"]?.booleanValue
        else { return nil }
        var processID: Int32?
        if let number = json["pid"] {
            guard let value = number.integerValue.flatMap({ Int32(exactly: $0) }), value > 0 else { return nil }
            processID = value
        }
        self.init(
            id: id, processID: processID, podName: podName, podNamespace: podNamespace, podUID: podUID,
            labels: labels, annotations: annotations, usesHostNetwork: usesHostNetwork)
    }

    private static func object(_ texts: [String: String]) -> JSON {
        .object(texts.sorted { $0.key < $1.key }.map { JSON.Member($0.key, .string($0.value)) })
    }

    private static func dictionary(_ json: JSON) -> [String: String]? {
        guard let members = json.members else { return nil }
        var texts: [String: String] = [:]
        for member in members {
            guard let value = member.value.stringValue else { return nil }
            texts[member.name] = value
        }
        return texts
    }
}
