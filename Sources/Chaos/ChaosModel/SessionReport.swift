/// Where a session stands.
package enum SessionState: String, CaseIterable, Sendable {
    case pending, applying, active, reverting, ended, stuck
    /// Everything is undone until the target's container is started again.
    case waiting
}

/// What becomes of a session whose target's container ends.
package enum RestartPolicy: String, CaseIterable, Sendable {
    /// It ends too.
    case end
    /// It waits for the container that takes the place of the old one in the same pod, and acts on that.
    case reinject

    /// Nil for what is so when nothing is said.
    package var json: JSON? { self == .end ? nil : .string(rawValue) }
}

/// Why a session ended.
package enum Ending: String, CaseIterable, Sendable {
    /// Its deadline passed.
    case expired
    /// Its owner or an operator ended it.
    case cancelled
    /// Its caller stopped renewing the lease.
    case leaseLapsed = "lease-lapsed"
    /// Its target went away.
    case targetGone = "target-gone"
    /// It has done to its target all that it was to.
    case completed
    /// A step could not be performed; what had been done was undone.
    case applyFailed = "apply-failed"
    /// Another session of its group could not be applied.
    case groupFailed = "group-failed"
    /// What it ran in the target stopped before its time.
    case faultEnded = "fault-ended"
    /// The agent was restarted and took it back.
    case recovered
    /// The agent was told to stop.
    case drained
    /// An operator halted the node.
    case halted
    /// Its key, or its tenant's place in the policy, was taken away.
    case revoked
    /// The node fared worse than the policy lets it.
    case nodeUnhealthy = "node-unhealthy"

    /// For people.
    package var words: String {
        switch self {
        case .expired: "its time is over"
        case .cancelled: "it was ended on request"
        case .leaseLapsed: "its lease was not renewed"
        case .targetGone: "its target went away"
        case .completed: "it has done all that it was to"
        case .applyFailed: "it could not be applied"
        case .groupFailed: "another session of its group could not be applied"
        case .faultEnded: "its fault stopped by itself"
        case .recovered: "the agent was restarted"
        case .drained: "the agent is stopping"
        case .halted: "an operator halted the node"
        case .nodeUnhealthy: "the node fared worse than its policy lets it"
        case .revoked: "its key is trusted no more, or the policy does not allow it any more"
        }
    }
}

/// What undoing one step found and did.
package enum UndoOutcome: Hashable, Sendable {
    /// The value is as it was before, read back from the kernel.
    case restored
    /// It already was: the target went, or an earlier attempt had undone it.
    case alreadyRestored
    /// Somebody else has changed it meanwhile; left alone.
    case drifted(found: String)
    case failed(String)
    /// It was never to be taken back, and nothing was tried.
    case irreversible

    /// Each that `word` can be.
    package static let words = ["restored", "already-restored", "drifted", "failed", "irreversible"]

    package var word: String {
        switch self {
        case .restored: "restored"
        case .alreadyRestored: "already-restored"
        case .drifted: "drifted"
        case .failed: "failed"
        case .irreversible: "irreversible"
        }
    }

    package var json: JSON {
        switch self {
        case .restored, .alreadyRestored, .irreversible: ["outcome": .string(word)]
        case .drifted(let found): ["outcome": .string(word), "found": .string(found)]
        case .failed(let reason): ["outcome": .string(word), "reason": .string(reason)]
        }
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        switch json["outcome"]?.stringValue {
        case "restored": self = .restored
        case "already-restored": self = .alreadyRestored
        case "drifted": self = .drifted(found: json["found"]?.stringValue ?? "")
        case "failed": self = .failed(json["reason"]?.stringValue ?? "")
        case "irreversible": self = .irreversible
        default: return nil
        }
    }
}

/// Something that happened to a session, with the time since it was opened.
package struct SessionEvent: Hashable, Sendable {
    package let sequence: Int
    /// Since the session was opened.
    package let offset: Duration
    /// A word that never changes, as `applied`, `step-undone`, `worker-ended`.
    package let kind: String
    /// For people.
    package let message: String
    /// The session's own.
    package let trace: TraceContext?

    package init(sequence: Int, offset: Duration, kind: String, message: String, trace: TraceContext? = nil) {
        self.sequence = sequence
        self.offset = offset
        self.kind = kind
        self.message = message
        self.trace = trace
    }

    package var json: JSON {
        .object([
            ("sequence", .integer(Int64(sequence))),
            ("offsetSeconds", .number((offset.seconds * 1e6).rounded() / 1e6)),
            ("kind", .string(kind)),
            ("message", .string(message)),
            ("traceparent", trace?.json),
        ])
    }
}

/// All that is to be told of a session.
package struct SessionReport: Sendable {
    package struct StepReport: Sendable {
        package let summary: String
        package var performed: Bool
        package var undo: UndoOutcome?
        /// What it has achieved, when that was last looked at.
        package var effect: Effect?

        package init(summary: String, performed: Bool = false, undo: UndoOutcome? = nil) {
            self.summary = summary
            self.performed = performed
            self.undo = undo
        }
    }

    package let id: SessionID
    package let group: GroupMembership?
    package let tenant: Tenant
    package let fault: String
    package let parameters: JSON
    package let summary: String
    package let reason: String?
    package let trace: TraceContext?
    package let target: TargetFacts
    package let openedAt: Int64
    package let duration: Duration
    package let lease: Duration?
    package let onRestart: RestartPolicy
    package var state: SessionState
    package var remaining: Duration?
    package var ending: Ending?
    package var steps: [StepReport]

    package init(
        id: SessionID, group: GroupMembership? = nil, tenant: Tenant, fault: String, parameters: JSON, summary: String,
        reason: String?, trace: TraceContext? = nil,
        target: TargetFacts, openedAt: Int64, duration: Duration, lease: Duration?, onRestart: RestartPolicy,
        state: SessionState, remaining: Duration?, ending: Ending?, steps: [StepReport]
    ) {
        self.id = id
        self.group = group
        self.tenant = tenant
        self.fault = fault
        self.parameters = parameters
        self.summary = summary
        self.reason = reason
        self.trace = trace
        self.target = target
        self.openedAt = openedAt
        self.duration = duration
        self.lease = lease
        self.onRestart = onRestart
        self.state = state
        self.remaining = remaining
        self.ending = ending
        self.steps = steps
    }

    /// Whether every step was undone and read back, was never performed, or was never to be undone.
    package var revertVerified: Bool {
        steps.allSatisfy { step in
            switch step.undo {
            case .restored, .alreadyRestored, .irreversible: true
            case .drifted, .failed: false
            case nil: !step.performed
            }
        }
    }

    package var json: JSON {
        .object([
            ("id", .string(id.text)),
            ("group", group.map { .string($0.id.text) }),
            ("tenant", .string(tenant.name)),
            ("state", .string(state.rawValue)),
            ("ending", ending.map { .string($0.rawValue) }),
            ("fault", .string(fault)),
            ("parameters", parameters),
            ("summary", .string(summary)),
            ("reason", reason.map(JSON.string)),
            ("traceparent", trace?.json),
            ("target", target.json),
            ("openedAt", .integer(openedAt)),
            ("duration", .string(duration.text)),
            ("lease", lease.map { .string($0.text) }),
            ("onRestart", onRestart.json),
            ("remainingSeconds", remaining.map { .number(max(0, ($0.seconds * 1000).rounded() / 1000)) }),
            (
                "steps",
                .array(
                    steps.map { step in
                        .object([
                            ("summary", .string(step.summary)),
                            ("performed", .boolean(step.performed)),
                            ("effect", step.effect?.report),
                            ("undo", step.undo?.json),
                        ])
                    })
            ),
            ("revertVerified", state == .ended ? .boolean(revertVerified) : nil),
        ])
    }
}

/// All that is to be told of the sessions that one request has opened together.
package struct GroupReport: Sendable {
    package let membership: GroupMembership
    /// Those that are remembered, the newest first.
    package let sessions: [SessionReport]

    package init(_ membership: GroupMembership, sessions: [SessionReport]) {
        self.membership = membership
        self.sessions = sessions
    }

    package enum State: String, CaseIterable, Sendable {
        case live, stuck, ended
    }

    /// `live` while one is; then `stuck` as long as one cannot be undone, and `ended` when all have.
    package var state: State {
        if sessions.contains(where: { $0.state != .stuck && $0.state != .ended }) { return .live }
        return sessions.allSatisfy { $0.state == .ended } ? .ended : .stuck
    }

    /// Nothing is said for those that are forgotten.
    private var revertVerified: Bool {
        sessions.count == membership.size && sessions.allSatisfy(\.revertVerified)
    }

    /// - Parameters:
    ///   - told: As many of the sessions as there is room for.
    ///   - omitted: How many more there are, where there are.
    package func json(_ told: [JSON], omitted: JSON?) -> JSON {
        .object(
            (membership.json.members ?? []).map { ($0.name, $0.value) } + [
                ("state", .string(state.rawValue)), ("sessions", .array(told)), ("omitted", omitted),
                ("revertVerified", state == .ended ? .boolean(revertVerified) : nil),
            ])
    }
}

/// What a request that is about a session or a group is answered with.
package enum ScopeReport: Sendable {
    case session(SessionReport)
    case group(GroupReport)
}
