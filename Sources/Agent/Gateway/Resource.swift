package import AgentAPI
import ChaosModel

/// A place in the API. docs/openapi.yaml describes each.
package enum Resource: String, CaseIterable, Sendable {
    case sessions = "/v1/sessions"
    case plans = "/v1/plans"
    case session = "/v1/sessions/{id}"
    case events = "/v1/sessions/{id}/events"
    case lease = "/v1/sessions/{id}/lease"
    case group = "/v1/groups/{id}"
    case groupLease = "/v1/groups/{id}/lease"
    case faults = "/v1/faults"
    case node = "/v1/node"
    case name = "/v1/node/name"
    case liveness = "/livez"
    case readiness = "/readyz"
    case metrics = "/metrics"

    /// What is answered without a token and without any effect, for probes and Prometheus.
    package static let probes: [Resource] = [.liveness, .readiness, .metrics]

    /// What the resource does for each method that it takes.
    package var endpoints: [(method: String, endpoint: Endpoint)] {
        switch self {
        case .sessions: [("GET", .signed(.list)), ("HEAD", .signed(.list)), ("POST", .signed(.inject))]
        case .plans: [("POST", .signed(.plan))]
        case .session, .group: [("GET", .signed(.read)), ("HEAD", .signed(.read)), ("DELETE", .signed(.end))]
        case .events: [("GET", .signed(.events))]
        case .lease, .groupLease: [("POST", .signed(.renew))]
        case .faults: [("GET", .open(.faults)), ("HEAD", .open(.faults))]
        case .node: [("GET", .open(.node)), ("HEAD", .open(.node))]
        case .name: [("GET", .open(.name)), ("HEAD", .open(.name))]
        case .liveness: [("GET", .open(.liveness)), ("HEAD", .open(.liveness))]
        case .readiness: [("GET", .open(.readiness)), ("HEAD", .open(.readiness))]
        case .metrics: [("GET", .open(.metrics)), ("HEAD", .open(.metrics))]
        }
    }

    /// What a path names that stands at this resource; nil where it names nothing, or nothing that there could be.
    func scope(named identifier: String) -> SessionScope? {
        switch self {
        case .session, .events, .lease: SessionID(identifier).map(SessionScope.session)
        case .group, .groupLease: GroupID(identifier).map(SessionScope.group)
        case .sessions, .plans, .faults, .node, .name, .liveness, .readiness, .metrics: nil
        }
    }

    /// What stands in a path where this resource has `{id}`; empty where it has none; nil if the path is another's.
    func identifier(in path: some StringProtocol) -> String? {
        let names = rawValue.split(separator: "/", omittingEmptySubsequences: false)
        let parts = path.split(separator: "/", omittingEmptySubsequences: false)
        guard names.count == parts.count else { return nil }
        var identifier = ""
        for (name, part) in zip(names, parts) where name != part {
            guard name == "{id}" else { return nil }
            identifier = String(part)
        }
        return identifier
    }
}

/// What answers a request.
package enum Endpoint: Hashable, Sendable {
    /// The engine, for a token that it verifies.
    case signed(Route)
    /// The engine, for anybody.
    case open(PublicQuery)
}
