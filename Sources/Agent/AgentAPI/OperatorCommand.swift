package import ChaosModel

/// An operator's command to the engine: the payload of a `command` frame, as `{"command": "list"}`.
package enum OperatorCommand: Hashable, Sendable {
    case list
    case show(SessionScope)
    case events(SessionID)
    case revert(SessionScope)
    /// What the agent knows of what a selector names.
    case target(TargetSelector)
    /// Ends every session, and opens none until `resume`; why, for people.
    case halt(reason: String?)
    case resume

    /// - Throws: `request-malformed`, or what is wrong with the selector.
    package init(payload: some Collection<UInt8>) throws(Problem) {
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: payload)
        } catch {
            throw Problem(.requestMalformed, "the command is not JSON: \(error)")
        }
        try self.init(json)
    }

    package init(_ json: JSON) throws(Problem) {
        switch json["command"]?.stringValue {
        case "list": self = .list
        case "show": self = .show(try Self.scope(json))
        case "events": self = .events(try Self.session(json))
        case "revert": self = .revert(try Self.scope(json))
        case "target":
            guard let selector = json["target"] else {
                throw Problem(.requestMalformed, "the command names no target", field: "target")
            }
            self = .target(try TargetSelector(selector))
        case "halt": self = .halt(reason: try Self.reason(json))
        case "resume": self = .resume
        case let name:
            throw Problem(
                .requestMalformed, name.map { "there is no command \"\($0)\"" } ?? "no command", field: "command")
        }
        let known = self.json
        if let unknown = json.members?.first(where: { known[$0.name] == nil }) {
            throw Problem(.fieldUnknown, "the command takes no \"\(unknown.name)\"", field: unknown.name)
        }
    }

    private static let longestReason = 256

    private static func reason(_ json: JSON) throws(Problem) -> String? {
        guard let value = json["reason"] else { return nil }
        guard let reason = value.stringValue, reason.utf8.count <= longestReason else {
            throw Problem(.fieldInvalid, "a reason is a text of at most \(longestReason) bytes", field: "reason")
        }
        return reason
    }

    private static func scope(_ json: JSON) throws(Problem) -> SessionScope {
        guard let scope = SessionScope(memberOf: json) else {
            throw Problem(.requestMalformed, "the command names no session", field: "session")
        }
        return scope
    }

    private static func session(_ json: JSON) throws(Problem) -> SessionID {
        guard case .session(let session) = try scope(json) else {
            throw Problem(.requestMalformed, "the command names no session", field: "session")
        }
        return session
    }

    package var json: JSON {
        switch self {
        case .list: ["command": "list"]
        case .show(let scope): .object([("command", "show"), scope.member])
        case .events(let session): ["command": "events", "session": .string(session.text)]
        case .revert(let scope): .object([("command", "revert"), scope.member])
        case .target(let selector): ["command": "target", "target": selector.json]
        case .halt(let reason): .object([("command", "halt"), ("reason", reason.map(JSON.string))])
        case .resume: ["command": "resume"]
        }
    }
}
