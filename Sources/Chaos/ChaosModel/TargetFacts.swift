/// What a resolved target was, as facts that outlive its handles: enough to find it again, and to know
/// that something else has taken its name, after a restart of the agent and without any runtime.
package struct TargetFacts: Hashable, Sendable {
    package struct Process: Hashable, Sendable {
        package let id: Int32
        package let startTime: UInt64

        package init(id: Int32, startTime: UInt64) {
            self.id = id
            self.startTime = startTime
        }
    }

    /// A network namespace by the number of its file and by the cookie that the kernel never gives twice in a boot.
    package struct NetworkNamespace: Hashable, Sendable {
        package let inode: UInt64
        package let cookie: UInt64

        package init(inode: UInt64, cookie: UInt64) {
            self.inode = inode
            self.cookie = cookie
        }
    }

    package struct Cgroup: Hashable, Sendable {
        package let path: String
        package let id: UInt64

        package init(path: String, id: UInt64) {
            self.path = path
            self.id = id
        }

        /// Every process of the machine is in it or below.
        package var isRoot: Bool { path == "/" }
    }

    /// A pod's, or one that Docker or Podman runs by itself: then nothing is said of a pod, and the name is its own on
    /// this node.
    package struct Container: Hashable, Sendable {
        package let id: String
        package let name: String
        package let pod: String
        package let namespace: String
        package let podUID: String

        package init(id: String, name: String, pod: String, namespace: String, podUID: String) {
            self.id = id
            self.name = name
            self.pod = pod
            self.namespace = namespace
            self.podUID = podUID
        }

        package init(id: String, standaloneNamed name: String) {
            self.init(id: id, name: name, pod: "", namespace: "", podUID: "")
        }

        /// Whether it is no pod's.
        package var isStandalone: Bool { pod.isEmpty && namespace.isEmpty && podUID.isEmpty }

        /// Whether a part of a cgroup's path has its identifier in it, all of it and no more: `docker-ID.scope`, `ID`.
        package func isNamed(in part: Substring) -> Bool {
            // Those of no pod are known by nothing else.
            guard !id.isEmpty, !isStandalone || ContainerName.isWholeIdentifier(id) else { return false }
            return part.ranges(of: id).contains { range in
                let neighbours = [part[..<range.lowerBound].last, part[range.upperBound...].first].compactMap(\.self)
                return !neighbours.contains { $0.isLetter || $0.isNumber }
            }
        }
    }

    package let container: Container?
    /// Where the target was named as a unit of systemd.
    package let unit: UnitName?
    /// The container's first process, the unit's main one, or the named process.
    package let process: Process?
    package let network: NetworkNamespace?
    package let cgroup: Cgroup

    package init(
        container: Container?, unit: UnitName? = nil, process: Process?, network: NetworkNamespace?, cgroup: Cgroup
    ) {
        self.container = container
        self.unit = unit
        self.process = process
        self.network = network
        self.cgroup = cgroup
    }

    /// All of the node: every cgroup is below this one.
    package var isHost: Bool { cgroup.isRoot }

    package var targetClass: TargetClass {
        if let container { return container.isStandalone ? .standalone(container.name) : .container }
        if isHost { return .host }
        return unit.map(TargetClass.unit) ?? .partOfHost
    }

    /// As a person would name it.
    package var summary: String {
        if let container, !container.pod.isEmpty {
            return "container \(container.name) of pod \(container.namespace)/\(container.pod)"
        }
        if let container {
            return "container \(container.isStandalone ? container.name : "\(container.id.prefix(12))")"
        }
        if let unit { return "unit \(unit)" }
        if isHost { return "the whole host" }
        return "cgroup \(cgroup.path)"
    }
}

extension TargetFacts {
    package var json: JSON {
        .object([
            (
                "container",
                container.map { container in
                    if container.isStandalone { return ["id": .string(container.id), "name": .string(container.name)] }
                    return [
                        "id": .string(container.id), "name": .string(container.name), "pod": .string(container.pod),
                        "namespace": .string(container.namespace), "podUID": .string(container.podUID),
                    ]
                }
            ),
            ("unit", unit.map { .string("\($0)") }),
            ("process", process.map { ["pid": .integer(Int64($0.id)), "startTime": .integer(Int64($0.startTime))] }),
            ("network", network?.json),
            ("cgroup", cgroup.json),
        ])
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        guard let cgroup = json["cgroup"].flatMap(Cgroup.init) else { return nil }
        self.cgroup = cgroup
        container = json["container"].map { container in
            let text = { (name: String) in container[name]?.stringValue ?? "" }
            return Container(
                id: text("id"), name: text("name"), pod: text("pod"), namespace: text("namespace"),
                podUID: text("podUID"))
        }
        unit = json["unit"]?.stringValue.flatMap(UnitName.init)
        process = json["process"].flatMap { process in
            guard let pid = process["pid"]?.integerValue.flatMap({ Int32(exactly: $0) }),
                let start = process["startTime"]?.integerValue.flatMap({ UInt64(exactly: $0) })
            else { return nil }
            return Process(id: pid, startTime: start)
        }
        network = json["network"].flatMap(NetworkNamespace.init)
    }
}

extension TargetFacts {
    /// Of what `json` wrote, or of a part of it, in a word for tables: `shop/web-0/app`, `nginx.service`; nil where it says nothing.
    package static func word(_ json: JSON?) -> String? {
        if let container = json?["container"] {
            return ["namespace", "pod", "name"].compactMap { container[$0]?.stringValue }.joined(separator: "/")
        }
        if let unit = json?["unit"]?.stringValue { return unit }
        let path = json?["cgroup"]?["path"]?.stringValue
        if path == "/" { return "the whole host" }
        return json?["process"]?["pid"]?.integerValue.map { "process \($0)" } ?? path
    }
}

/// Inodes and cookies are written as text: they may exceed what other readers of JSON keep exactly.
extension TargetFacts.NetworkNamespace {
    package var json: JSON { ["inode": .string(String(inode)), "cookie": .string(String(cookie))] }

    package init?(_ json: JSON) {
        guard let inode = json["inode"]?.stringValue.flatMap({ UInt64($0) }),
            let cookie = json["cookie"]?.stringValue.flatMap({ UInt64($0) })
        else { return nil }
        self.init(inode: inode, cookie: cookie)
    }
}

extension TargetFacts.Cgroup {
    package var json: JSON { ["path": .string(path), "id": .string(String(id))] }

    package init?(_ json: JSON) {
        guard let path = json["path"]?.stringValue, let id = json["id"]?.stringValue.flatMap({ UInt64($0) }) else {
            return nil
        }
        self.init(path: path, id: id)
    }
}
