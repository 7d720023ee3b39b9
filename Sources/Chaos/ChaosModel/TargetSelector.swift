/// What a request asks to hit. A selector is never empty: "everything" cannot be said.
package enum TargetSelector: Hashable, Sendable {
    /// A container by the identifier that its runtime gave it.
    case container(String)
    /// A container that is no pod's, by its name.
    case containerNamed(ContainerName)
    /// A container by its pod.
    case pod(PodSelector)
    /// A process by its number and its start time in clock ticks since boot (field 22 of `/proc/PID/stat`).
    case process(id: Int32, startTime: UInt64)
    /// The one process whose program is called so; of several that started each other, the first.
    case processNamed(ProcessName)
    /// A cgroup by its path below the cgroup root, as `/kubepods/burstable/pod…`.
    case cgroup(String)
    /// A unit of systemd, by its name: whichever processes it has at the time.
    case unit(UnitName)
    /// All of the node.
    case host
}

extension TargetSelector {
    package var targetClass: TargetClass {
        switch self {
        case .container, .pod: .container
        case .containerNamed(let name): .standalone("\(name)")
        case .unit(let name): .unit(name)
        case .process, .processNamed, .cgroup: .partOfHost
        case .host: .host
        }
    }

    /// Reads `{"container": "…"}`, `{"pod": {"namespace": "…", "name": "…"}}`, `{"process": {"pid": 1, "startTime": 2}}` or with `name` and `user`, `{"cgroup": "/…"}`, `{"unit": "nginx.service"}`
    /// or `{"host": true}`.
    package init(_ json: JSON, field: String = "target") throws(Problem) {
        guard let members = json.members else {
            throw Problem(.fieldInvalid, "a target is an object, not \(json.typeName)", field: field)
        }
        guard members.count == 1, let member = members.first else {
            throw Problem(
                .fieldInvalid, "a target names exactly one of container, pod, pods, process, cgroup, unit and host",
                field: field)
        }
        let path = "\(field).\(member.name)"
        switch member.name {
        case "container":
            guard let container = member.value.stringValue.flatMap(Self.container) else {
                throw Problem(
                    .fieldInvalid,
                    "a container is named by its identifier, 12 hexadecimal digits at least, or by the name that Docker or Podman knows",
                    field: path, hint: "copy containerID from the pod's status, or a name from docker ps")
            }
            self = container
        case "pod":
            self = .pod(try PodSelector(member.value, field: path))
        case "process":
            if member.value["name"] != nil {
                self = .processNamed(try ProcessName(member.value, field: path))
                return
            }
            let known: Set = ["pid", "startTime"]
            if let unknown = member.value.members?.first(where: { !known.contains($0.name) }) {
                throw Problem(.fieldUnknown, "unknown field", field: "\(path).\(unknown.name)")
            }
            guard let pid = member.value["pid"]?.integerValue, let id = Int32(exactly: pid), id > 1 else {
                throw Problem(.fieldInvalid, "a process number is an integer above 1", field: "\(path).pid")
            }
            guard let start = member.value["startTime"]?.integerValue, start > 0 else {
                throw Problem(
                    .fieldMissing, "a process is named by its number and its start time", field: "\(path).startTime",
                    hint: "field 22 of /proc/\(id)/stat")
            }
            self = .process(id: id, startTime: UInt64(start))
        case "cgroup":
            guard let text = member.value.stringValue, Self.isCgroupPath(text) else {
                throw Problem(
                    .fieldInvalid, "a cgroup is an absolute path below the cgroup root, without '.' and '..' parts",
                    field: path)
            }
            self = .cgroup(text)
        case "unit":
            guard let unit = member.value.stringValue.flatMap(UnitName.init) else {
                throw Problem(
                    .fieldInvalid, "a unit is a service or a scope of systemd, as nginx.service", field: path)
            }
            self = .unit(unit)
        case "host":
            guard member.value == true else {
                throw Problem(.fieldInvalid, "the whole host is named by true", field: path)
            }
            self = .host
        default:
            throw Problem(
                .fieldUnknown, "a target is a container, a pod, pods, a process, a cgroup, a unit or the host",
                field: path)
        }
    }

    package var json: JSON {
        switch self {
        case .container(let id): ["container": .string(id)]
        case .containerNamed(let name): ["container": .string("\(name)")]
        case .pod(let pod): ["pod": pod.json]
        case .process(let id, let startTime):
            ["process": ["pid": .integer(Int64(id)), "startTime": .integer(Int64(startTime))]]
        case .processNamed(let name): ["process": name.json]
        case .cgroup(let path): ["cgroup": .string(path)]
        case .unit(let name): ["unit": .string("\(name)")]
        case .host: ["host": true]
        }
    }

    private static func container(_ text: String) -> TargetSelector? {
        if let name = ContainerName(text) { return .containerNamed(name) }
        return containerIdentifier(text).map(TargetSelector.container)
    }

    /// Kubernetes writes `containerd://ID`; runtimes know the ID alone.
    package static func containerIdentifier(_ text: String) -> String? {
        var id = Substring(text)
        if let scheme = text.range(of: "://") { id = text[scheme.upperBound...] }
        guard (12...128).contains(id.utf8.count),
            id.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_.".contains($0)) }), id.first != "."
        else { return nil }
        return String(id)
    }

    private static func isCgroupPath(_ text: String) -> Bool {
        guard text.hasPrefix("/"), text.utf8.count > 1, text.utf8.count <= 4096, !text.utf8.contains(0) else {
            return false
        }
        return text.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
            .allSatisfy { !$0.isEmpty && $0 != "." && $0 != ".." }
    }
}

extension String {
    fileprivate func range(of separator: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(separator) { return start..<index(start, offsetBy: separator.count) }
            formIndex(after: &start)
        }
        return nil
    }
}
