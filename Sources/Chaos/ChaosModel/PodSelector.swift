/// Names one container by its pod, as Kubernetes does. The namespace and at least one of name, uid and labels are given; all
/// that are given have to agree.
package struct PodSelector: Hashable, Sendable {
    package let namespace: String
    package let name: String?
    package let uid: String?
    /// The pod has each of them, and maybe more.
    package let labels: [String: String]
    /// The container's name; nil for the only one that runs.
    package let container: String?

    package static let mostLabels = 16

    package init(
        namespace: String, name: String? = nil, uid: String? = nil, labels: [String: String] = [:],
        container: String? = nil
    ) {
        self.namespace = namespace
        self.name = name
        self.uid = uid
        self.labels = labels
        self.container = container
    }

    /// Whether a pod is one that is meant.
    package func matches(namespace: String, name: String, uid: String, labels: [String: String]) -> Bool {
        namespace == self.namespace && self.name.map { $0 == name } ?? true && self.uid.map { $0 == uid } ?? true
            && self.labels.allSatisfy { labels[$0.key] == $0.value }
    }
}

extension PodSelector {
    /// Reads `{"namespace": "shop", "name": "web-0", "container": "app"}`, or with `uid` or `labels`.
    package init(_ json: JSON, field: String) throws(Problem) {
        guard let members = json.members else {
            throw Problem(.fieldInvalid, "a pod is an object, not \(json.typeName)", field: field)
        }
        let known: Set = ["namespace", "name", "uid", "labels", "container"]
        if let unknown = members.first(where: { !known.contains($0.name) }) {
            throw Problem(.fieldUnknown, "unknown field", field: "\(field).\(unknown.name)")
        }
        func text(_ name: String, _ what: String, longest: Int) throws(Problem) -> String? {
            guard let value = json[name] else { return nil }
            guard let text = value.stringValue, Self.isName(text, longest: longest) else {
                throw Problem(
                    .fieldInvalid, "\(what) is 1 to \(longest) letters, digits, '-', '_' and '.'",
                    field: "\(field).\(name)")
            }
            return text
        }
        guard let namespace = try text("namespace", "a namespace", longest: 63) else {
            throw Problem(.fieldMissing, "a pod is named with its namespace", field: "\(field).namespace")
        }
        self.namespace = namespace
        name = try text("name", "a pod's name", longest: 253)
        uid = try text("uid", "a pod's uid", longest: 128)
        container = try text("container", "a container's name", longest: 63)
        labels =
            try json["labels"].map { json throws(Problem) in try Self.labels(json, field: "\(field).labels") } ?? [:]
        guard name != nil || uid != nil || !labels.isEmpty else {
            throw Problem(
                .fieldMissing, "a pod is named by its name, its uid or labels", field: field,
                hint: "\"every pod of a namespace\" cannot be said")
        }
    }

    private static func labels(_ json: JSON, field: String) throws(Problem) -> [String: String] {
        guard let members = json.members, (1...mostLabels).contains(members.count) else {
            throw Problem(.fieldInvalid, "labels are an object of 1 to \(mostLabels) texts", field: field)
        }
        var labels: [String: String] = [:]
        for member in members {
            // A key may have a prefix, which is a domain: `app.kubernetes.io/name`.
            let parts = member.name.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
            let isKey = parts.last.map { isName(String($0), longest: 63) } ?? false
            let isPrefixed = parts.count == 1 || isName(String(parts[0]), longest: 253)
            guard isKey, isPrefixed, let value = member.value.stringValue,
                value.isEmpty || isName(value, longest: 63)
            else {
                throw Problem(.fieldInvalid, "no label of a pod looks so", field: "\(field).\(member.name.cut(to: 64))")
            }
            labels[member.name] = value
        }
        return labels
    }

    private static func isName(_ text: String, longest: Int) -> Bool {
        (1...longest).contains(text.utf8.count)
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."):
                    true
                default: false
                }
            }
    }

    package var json: JSON {
        .object([
            ("namespace", .string(namespace)), ("name", name.map(JSON.string)), ("uid", uid.map(JSON.string)),
            (
                "labels",
                labels.isEmpty
                    ? nil
                    : .object(labels.sorted { $0.key < $1.key }.map { JSON.Member($0.key, .string($0.value)) })
            ),
            ("container", container.map(JSON.string)),
        ])
    }
}
