package import Authorization
package import ChaosModel
package import Steps

/// One line of the journal. What is written here is all that recovery will know.
package enum JournalEntry: Sendable {
    /// A session and every step it will take, durable before the first one is performed.
    case opened(OpenedSession)
    /// A session is over: nothing of it is left to undo.
    case ended(SessionID, Ending)
    /// Nothing but the wall time that every line carries.
    case clockSeen
    /// A token was taken for something else than to open a session.
    case tokenTaken(TakenToken)
}

/// A session as it was when it was opened.
package struct OpenedSession: Sendable {
    package let id: SessionID
    package let token: TakenToken
    package let bootID: String
    /// `CLOCK_BOOTTIME` in nanoseconds, within that boot.
    package let openedAt: Int64
    package let deadline: Int64
    /// Wall seconds, for people.
    package let openedAtWall: Int64
    package let fault: String
    package let parameters: JSON
    package let summary: String
    package let reason: String?
    package let lease: Duration?
    package let target: TargetFacts
    package let intents: [Intent]

    package init(
        id: SessionID, token: TakenToken, bootID: String, openedAt: Int64, deadline: Int64, openedAtWall: Int64,
        fault: String, parameters: JSON, summary: String, reason: String?, lease: Duration?, target: TargetFacts,
        intents: [Intent]
    ) {
        self.id = id
        self.token = token
        self.bootID = bootID
        self.openedAt = openedAt
        self.deadline = deadline
        self.openedAtWall = openedAtWall
        self.fault = fault
        self.parameters = parameters
        self.summary = summary
        self.reason = reason
        self.lease = lease
        self.target = target
        self.intents = intents
    }

    package var tenant: Tenant { token.tenant }
}

extension JournalEntry {
    /// The entry as the journal holds it; `JournalLine` says how it lies in the file.
    package var json: JSON {
        switch self {
        case .opened(let session):
            .object([
                ("entry", "opened"),
                ("session", .string(session.id.text)),
                ("token", session.token.json),
                ("boot", .string(session.bootID)),
                ("openedAt", .integer(session.openedAt)),
                ("deadline", .integer(session.deadline)),
                ("openedAtWall", .integer(session.openedAtWall)),
                ("fault", .string(session.fault)),
                ("parameters", session.parameters),
                ("summary", .string(session.summary)),
                ("reason", session.reason.map(JSON.string)),
                ("lease", session.lease.map { .string($0.text) }),
                ("target", session.target.json),
                ("intents", .array(session.intents.map(\.json))),
            ])
        case .ended(let session, let ending):
            ["entry": "ended", "session": .string(session.text), "ending": .string(ending.rawValue)]
        case .clockSeen:
            ["entry": "clock-seen"]
        case .tokenTaken(let token):
            ["entry": "token-taken", "token": token.json]
        }
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        switch json["entry"]?.stringValue {
        case "opened":
            guard let session = OpenedSession(json) else { return nil }
            self = .opened(session)
        case "ended":
            guard let session = json["session"]?.stringValue.flatMap({ SessionID($0) }),
                let ending = json["ending"]?.stringValue.flatMap(Ending.init)
            else { return nil }
            self = .ended(session, ending)
        case "clock-seen":
            self = .clockSeen
        case "token-taken":
            guard let token = json["token"].flatMap(TakenToken.init) else { return nil }
            self = .tokenTaken(token)
        default:
            return nil
        }
    }
}

extension TakenToken {
    var json: JSON {
        .object([
            ("tenant", .string(tenant.name)),
            ("id", .string(tokenID)),
            ("expires", .integer(expires)),
            ("session", session.map { .string($0.text) }),
        ])
    }

    init?(_ json: JSON) {
        guard let tenant = json["tenant"]?.stringValue.flatMap({ Tenant($0) }), let id = json["id"]?.stringValue,
            let expires = json["expires"]?.integerValue
        else { return nil }
        let session = json["session"]?.stringValue.flatMap { SessionID($0) }
        self.init(tenant: tenant, tokenID: id, expires: expires, session: session)
    }
}

extension OpenedSession {
    init?(_ json: JSON) {
        guard let id = json["session"]?.stringValue.flatMap({ SessionID($0) }),
            let token = json["token"].flatMap(TakenToken.init),
            let bootID = json["boot"]?.stringValue,
            let openedAt = json["openedAt"]?.integerValue,
            let deadline = json["deadline"]?.integerValue,
            let openedAtWall = json["openedAtWall"]?.integerValue,
            let fault = json["fault"]?.stringValue,
            let parameters = json["parameters"],
            let summary = json["summary"]?.stringValue,
            let target = json["target"].flatMap(TargetFacts.init),
            let intentValues = json["intents"]?.arrayValue
        else { return nil }
        let intents = intentValues.compactMap(Intent.init)
        guard intents.count == intentValues.count else { return nil }
        self.init(
            id: id, token: token, bootID: bootID, openedAt: openedAt, deadline: deadline,
            openedAtWall: openedAtWall, fault: fault, parameters: parameters, summary: summary,
            reason: json["reason"]?.stringValue, lease: json["lease"]?.stringValue.flatMap { Duration(text: $0) },
            target: target, intents: intents)
    }
}
