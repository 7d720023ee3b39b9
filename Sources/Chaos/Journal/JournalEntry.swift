package import Authorization
package import ChaosModel
package import Steps

/// One line of the journal. What is written here is all that recovery will know.
package enum JournalEntry: Sendable {
    /// A session and every step it will take, durable before the first one is performed.
    case opened(OpenedSession)
    /// A session that was undone whole is on another target, with other steps, from here on.
    case moved(MovedSession)
    /// A session is over: nothing of it is left to undo.
    case ended(EndedSession)
    /// No session is to be opened until `resumed`.
    case halted(Halt)
    case resumed
    /// Nothing but the wall time that every line carries.
    case clockSeen
    /// A token was taken for something else than to open a session.
    case tokenTaken(TakenToken)
}

/// A session as it was when it was opened.
package struct OpenedSession: Sendable {
    package let id: SessionID
    package let group: GroupMembership?
    package let token: TakenToken
    package let bootID: String
    /// The inode of the agent's pid namespace: process numbers are of that one. Nil in journals that do not say.
    package let pidNamespace: UInt64?
    /// `CLOCK_BOOTTIME` in nanoseconds, within that boot.
    package let openedAt: Int64
    package let deadline: Int64
    /// Wall seconds, for people.
    package let openedAtWall: Int64
    package let fault: String
    package let parameters: JSON
    package let summary: String
    package let reason: String?
    package let trace: TraceContext?
    package let lease: Duration?
    package let onRestart: RestartPolicy
    package var target: TargetFacts
    package var intents: [Intent]

    package init(
        id: SessionID, group: GroupMembership? = nil, token: TakenToken, bootID: String, pidNamespace: UInt64?,
        openedAt: Int64, deadline: Int64,
        openedAtWall: Int64, fault: String, parameters: JSON, summary: String, reason: String?,
        trace: TraceContext? = nil, lease: Duration?, onRestart: RestartPolicy, target: TargetFacts, intents: [Intent]
    ) {
        self.id = id
        self.group = group
        self.token = token
        self.bootID = bootID
        self.pidNamespace = pidNamespace
        self.openedAt = openedAt
        self.deadline = deadline
        self.openedAtWall = openedAtWall
        self.fault = fault
        self.parameters = parameters
        self.summary = summary
        self.reason = reason
        self.trace = trace
        self.lease = lease
        self.onRestart = onRestart
        self.target = target
        self.intents = intents
    }

    package var tenant: Tenant { token.tenant }
    package var duration: Duration { .nanoseconds(deadline - openedAt) }
}

/// Where a session is now whose target has come back as another.
package struct MovedSession: Sendable {
    package let id: SessionID
    package let target: TargetFacts
    package let intents: [Intent]

    package init(id: SessionID, target: TargetFacts, intents: [Intent]) {
        self.id = id
        self.target = target
        self.intents = intents
    }
}

/// How a session ended: what is to be told of it afterwards, whichever engine is asked.
package struct EndedSession: Sendable {
    package struct Step: Hashable, Sendable {
        package let performed: Bool
        package let undo: UndoOutcome?
        package let effect: Effect?

        package init(performed: Bool, undo: UndoOutcome?, effect: Effect?) {
            self.performed = performed
            self.undo = undo
            self.effect = effect
        }
    }

    package let id: SessionID
    package let ending: Ending
    /// In the order of the session's intents.
    package let steps: [Step]

    package init(id: SessionID, ending: Ending, steps: [Step]) {
        self.id = id
        self.ending = ending
        self.steps = steps
    }
}

/// A session that is over.
package struct PastSession: Sendable {
    package let opened: OpenedSession
    package let ended: EndedSession

    package init(opened: OpenedSession, ended: EndedSession) {
        self.opened = opened
        self.ended = ended
    }
}

extension JournalEntry {
    /// There has to be room for its end, too.
    var isBeginning: Bool {
        switch self {
        case .opened, .moved: true
        case .ended, .halted, .resumed, .clockSeen, .tokenTaken: false
        }
    }

    /// The entry as the journal holds it; `JournalLine` says how it lies in the file.
    package var json: JSON {
        switch self {
        case .opened(let session):
            .object([
                ("entry", "opened"),
                ("session", .string(session.id.text)),
                ("group", session.group?.json),
                ("token", session.token.json),
                ("boot", .string(session.bootID)),
                ("pidNamespace", session.pidNamespace.map { .string("\($0)") }),
                ("openedAt", .integer(session.openedAt)),
                ("deadline", .integer(session.deadline)),
                ("openedAtWall", .integer(session.openedAtWall)),
                ("fault", .string(session.fault)),
                ("parameters", session.parameters),
                ("summary", .string(session.summary)),
                ("reason", session.reason.map(JSON.string)),
                ("traceparent", session.trace?.json),
                ("lease", session.lease.map { .string($0.text) }),
                ("onRestart", session.onRestart.json),
                ("target", session.target.json),
                ("intents", .array(session.intents.map(\.json))),
            ])
        case .moved(let session):
            [
                "entry": "moved", "session": .string(session.id.text), "target": session.target.json,
                "intents": .array(session.intents.map(\.json)),
            ]
        case .ended(let session):
            [
                "entry": "ended", "session": .string(session.id.text), "ending": .string(session.ending.rawValue),
                "steps": .array(session.steps.map(\.json)),
            ]
        case .halted(let halt):
            ["entry": "halted", "halt": halt.json]
        case .resumed:
            ["entry": "resumed"]
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
        case "moved":
            guard let session = MovedSession(json) else { return nil }
            self = .moved(session)
        case "ended":
            guard let session = EndedSession(json) else { return nil }
            self = .ended(session)
        case "halted":
            guard let halt = json["halt"].flatMap(Halt.init) else { return nil }
            self = .halted(halt)
        case "resumed":
            self = .resumed
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
            scope?.member ?? ("session", nil),
        ])
    }

    init?(_ json: JSON) {
        guard let tenant = json["tenant"]?.stringValue.flatMap({ Tenant($0) }), let id = json["id"]?.stringValue,
            let expires = json["expires"]?.integerValue
        else { return nil }
        self.init(tenant: tenant, tokenID: id, expires: expires, scope: SessionScope(memberOf: json))
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
            let intents = json["intents"].flatMap(intents(in:)),
            // Journals before there was a choice do not say.
            let onRestart = RestartPolicy(rawValue: json["onRestart"]?.stringValue ?? RestartPolicy.end.rawValue)
        else { return nil }
        let group = json["group"].flatMap(GroupMembership.init)
        guard (group == nil) == (json["group"] == nil) else { return nil }
        self.init(
            id: id, group: group, token: token, bootID: bootID,
            pidNamespace: json["pidNamespace"]?.stringValue.flatMap { UInt64($0) }, openedAt: openedAt,
            deadline: deadline,
            openedAtWall: openedAtWall, fault: fault, parameters: parameters, summary: summary,
            reason: json["reason"]?.stringValue, trace: json["traceparent"]?.stringValue.flatMap(TraceContext.init),
            lease: json["lease"]?.stringValue.flatMap { Duration(text: $0) },
            onRestart: onRestart, target: target, intents: intents)
    }
}

extension MovedSession {
    fileprivate init?(_ json: JSON) {
        guard let id = json["session"]?.stringValue.flatMap({ SessionID($0) }),
            let target = json["target"].flatMap(TargetFacts.init),
            let intents = json["intents"].flatMap(intents(in:))
        else { return nil }
        self.init(id: id, target: target, intents: intents)
    }
}

/// Nil unless all are understood.
private func intents(in json: JSON) -> [Intent]? {
    let values = json.arrayValue
    let intents = values?.compactMap(Intent.init)
    return intents?.count == values?.count ? intents : nil
}

extension EndedSession {
    fileprivate init?(_ json: JSON) {
        guard let id = json["session"]?.stringValue.flatMap({ SessionID($0) }),
            let ending = json["ending"]?.stringValue.flatMap(Ending.init)
        else { return nil }
        // Journals before it was written down do not say how the steps went.
        let values = json["steps"]?.arrayValue ?? []
        let steps = values.compactMap(Step.init)
        guard steps.count == values.count else { return nil }
        self.init(id: id, ending: ending, steps: steps)
    }
}

extension EndedSession.Step {
    fileprivate var json: JSON {
        .object([("performed", .boolean(performed)), ("undo", undo?.json), ("effect", effect?.json)])
    }

    fileprivate init?(_ json: JSON) {
        guard let performed = json["performed"]?.booleanValue else { return nil }
        self.performed = performed
        undo = json["undo"].flatMap(UndoOutcome.init)
        effect = json["effect"].flatMap(Effect.init)
        // What is there must be understood.
        guard (undo == nil) == (json["undo"] == nil), (effect == nil) == (json["effect"] == nil) else { return nil }
    }
}
