import Audit
package import Authorization
package import ChaosModel
import Journal

/// Who wants something.
package enum Asker {
    case tenant(VerifiedRequest)
    /// Root on the node, on the engine's own socket.
    case `operator`

    package var members: [(String, JSON?)] {
        switch self {
        case .tenant(let request):
            [
                ("tenant", .string(request.tenant.name)), ("key", .string(request.signer.keyID)),
                ("token", .string(request.tokenID)), ("subject", request.subject.map(JSON.string)),
                ("identity", request.identity.map { .string($0.text) }),
            ]
        case .operator: [("operator", true)]
        }
    }
}

extension AuditEvent {
    init(endOf scope: SessionScope, askedBy asker: Asker) {
        self.init(.endRequested, [scope.member] + asker.members)
    }

    /// What is written is what the session was opened with: fault, parameters in force, and the target as it was found.
    init(opened session: OpenedSession, by request: VerifiedRequest) {
        self.init(
            .opened,
            [("session", .string(session.id.text)), ("group", session.group?.json)] + Asker.tenant(request).members + [
                ("fault", .string(session.fault)), ("parameters", session.parameters), ("target", session.target.json),
                ("durationSeconds", .integer(session.duration.components.seconds)),
                ("lease", session.lease.map { .string($0.text) }), ("onRestart", session.onRestart.json),
                ("reason", session.reason.map(JSON.string)), ("traceparent", session.trace?.json),
            ])
    }

    init(ended report: SessionReport, as ending: Ending) {
        self.init(
            .ended,
            [
                ("session", .string(report.id.text)), ("tenant", .string(report.tenant.name)),
                ("fault", .string(report.fault)), ("ending", .string(ending.rawValue)),
                ("target", .string(report.target.summary)), ("revertVerified", .boolean(report.revertVerified)),
                (
                    "steps",
                    .array(
                        report.steps.map { step in
                            .object([("summary", .string(step.summary)), ("undo", step.undo?.json)])
                        })
                ),
            ])
    }
}
