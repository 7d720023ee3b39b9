import ChaosModel

/// The checks in what `GET /v1/node` tells. Of what an agent leaves out, nothing is said.
struct NodeReport {
    private let node: JSON

    init(_ node: JSON) {
        self.node = node
    }

    var checks: [Check] {
        cgroups + features + faults + capabilities + runtimes + tls + tenants + policy + journal + audit + stuckSessions
    }

    private var cgroups: [Check] {
        guard let version = node["cgroups"]?.stringValue else { return [] }
        return [
            Check("cgroups", .ok, version == "v2" ? "version 2" : "version 1: see the features for what that lacks")
        ]
    }

    private var features: [Check] {
        entries("features").map { entry in
            Check(
                entry["name"]?.stringValue ?? "?", level(of: entry), entry["reason"]?.stringValue ?? "",
                remedy: entry["remedy"]?.stringValue)
        }
    }

    private var faults: [Check] {
        entries("faults").map { entry in
            Check(
                "fault \(entry["kind"]?.stringValue ?? "?")", level(of: entry), entry["reason"]?.stringValue ?? "")
        }
    }

    /// What the engine does without, as the policy let it when it started, is not missing.
    private func level(of entry: JSON) -> Check.State {
        if entry["works"] == true { return .ok }
        return entry["givenUp"] == nil ? .missing : .warning
    }

    /// Of the engine, which alone has any.
    private var capabilities: [Check] {
        guard let missing = node["capabilities"]?["missing"]?.arrayValue?.compactMap(\.stringValue) else { return [] }
        let name = "capabilities"
        guard !missing.isEmpty else { return [Check(name, .ok, "the engine has all that it needs")] }
        return [
            Check(
                name, .warning, "the engine lacks \(missing.joined(separator: ", "))",
                remedy: "what needs them fails: give the agent's container what daemonset/capabilities lists")
        ]
    }

    private var journal: [Check] {
        problem(
            of: "journal", otherwise: "can be written",
            remedy: "no session can begin until it can be written: see that its volume has room and is not read-only")
    }

    private var audit: [Check] {
        problem(
            of: "audit", as: "audit log", otherwise: "can be written",
            remedy: "no session can begin until it can be written: see that its volume has room and is not read-only")
    }

    private var tls: [Check] {
        let expires = node["tls"]?["expires"]?.integerValue.map { "the certificate is valid until \(utc($0))" }
        return problem(
            of: "tls", as: "TLS", otherwise: expires ?? "",
            remedy: "what was served with before still is, if there was any: mend the file")
    }

    private var tenants: [Check] {
        problem(of: "tenants", remedy: "the keys in force are those from before: mend the file")
    }

    private var policy: [Check] {
        problem(
            of: "policy",
            remedy: "the policy in force is the one from before, or none, which allows nothing: mend the file")
    }

    /// What the node says of one of its parts: nothing, or what is wrong with it.
    private func problem(
        of part: String, as name: String? = nil, otherwise words: String = "", remedy: String
    ) -> [Check] {
        guard let report = node[part] else { return [] }
        let name = name ?? part
        guard let problem = report["problem"]?.stringValue else { return [Check(name, .ok, words)] }
        return [Check(name, .missing, problem, remedy: remedy)]
    }

    /// A node has one runtime, looked for in several places. Without any, processes and cgroups can still be hit.
    private var runtimes: [Check] {
        let name = "container runtime"
        let reachable = entries("runtimes").filter { $0["runtime"] != nil }.map { entry in
            Check(name, .ok, Self.words(entry, "runtime", "version", "socket"))
        }
        let failing = entries("runtimes").compactMap { entry in
            entry["unreachable"]?.stringValue.map { reason in
                Check(
                    name, .warning, entry["socket"]?.stringValue.map { "\($0): \(reason)" } ?? reason,
                    remedy: "containers of this runtime cannot be targets until it answers")
            }
        }
        let found = reachable + failing
        guard found.isEmpty, node["runtimes"] != nil else { return found }
        let places = entries("runtimes").compactMap { $0["socket"]?.stringValue }.joined(separator: ", ")
        return [
            Check(
                name, .warning, places.isEmpty ? "none" : "no socket at \(places)",
                remedy: "containers cannot be targets: mount the runtime's socket, or name it to squalld")
        ]
    }

    private var stuckSessions: [Check] {
        guard let stuck = node["sessions"]?["stuck"]?.integerValue else { return [] }
        let live = node["sessions"]?["live"]?.integerValue ?? 0
        guard stuck > 0 else { return [Check("sessions", .ok, "\(live) live")] }
        return [
            Check("sessions", .missing, "\(stuck) of \(live) cannot be undone", remedy: "see: squall session list")
        ]
    }

    private func entries(_ name: String) -> [JSON] { node[name]?.arrayValue ?? [] }

    private static func words(_ entry: JSON, _ names: String...) -> String {
        names.compactMap { entry[$0]?.stringValue }.joined(separator: " ")
    }
}
