package import AgentAPI
package import ChaosModel

/// What a tenant asks of a node. The node checks what it says; nothing is checked here.
package enum TenantRequest: Hashable, Sendable {
    package struct Injection: Hashable, Sendable {
        package let fault: String
        package let parameters: JSON
        package let target: InjectionTarget
        package let duration: Duration
        package let lease: Duration?
        package let onRestart: RestartPolicy
        package let reason: String?
        package let trace: TraceContext?

        package init(
            fault: String, parameters: JSON, target: InjectionTarget, duration: Duration, lease: Duration? = nil,
            onRestart: RestartPolicy = .end, reason: String? = nil, trace: TraceContext? = nil
        ) {
            self.fault = fault
            self.parameters = parameters
            self.target = target
            self.duration = duration
            self.lease = lease
            self.onRestart = onRestart
            self.reason = reason
            self.trace = trace
        }
    }

    case inject(Injection)
    case plan(Injection)
    case list
    case read(SessionScope)
    case events(SessionID)
    case renew(SessionScope)
    case end(SessionScope)

    package var route: Route {
        switch self {
        case .inject: .inject
        case .plan: .plan
        case .list: .list
        case .read: .read
        case .events: .events
        case .renew: .renew
        case .end: .end
        }
    }

    package var scope: SessionScope? {
        switch self {
        case .inject, .plan, .list: nil
        case .read(let scope), .renew(let scope), .end(let scope): scope
        case .events(let session): .session(session)
        }
    }

    /// The claims beside those that every token has.
    var claims: [(String, JSON?)] {
        switch self {
        case .inject(let injection), .plan(let injection):
            [
                ("fault", .string(injection.fault)),
                ("parameters", injection.parameters),
                ("target", injection.target.json),
                ("duration", .string(injection.duration.text)),
                ("lease", injection.lease.map { .string($0.text) }),
                ("onRestart", injection.onRestart.json),
                ("reason", injection.reason.map(JSON.string)),
                ("traceparent", injection.trace?.json),
            ]
        case .list, .read, .events, .renew, .end: scope.map { [$0.member] } ?? []
        }
    }
}
