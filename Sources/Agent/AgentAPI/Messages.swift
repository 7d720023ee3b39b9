package import ChaosModel

/// What a caller wants of the engine with a token: the place in the API that the token was presented at.
/// The engine refuses a token whose `op` is not the route's, so a route can only narrow what the token says.
package enum Route: String, CaseIterable, Sendable {
    case inject, plan, list, read, events, renew, end

    /// The `op` that the token must carry.
    package var operation: Operation {
        switch self {
        case .inject: .inject
        case .plan: .plan
        case .list, .read, .events: .read
        case .renew: .renew
        case .end: .end
        }
    }

    /// Whether the route is about what one request has opened; of events each session has its own.
    package func takes(_ scope: SessionScope?) -> Bool {
        switch (self, scope) {
        case (.inject, nil), (.plan, nil), (.list, nil): true
        case (.read, .some), (.renew, .some), (.end, .some), (.events, .session): true
        case (.inject, .some), (.plan, .some), (.list, .some), (.events, .group), (_, nil): false
        }
    }
}

/// The payload of an `envelope` frame: `ROUTE SCOPE TOKEN`, single blanks between, `-` for no scope. Of what came by
/// TLS ` tls` follows, and the client's identities, each after a blank.
package struct EnvelopeRequest: Hashable, Sendable {
    /// A certificate's first ones count.
    package static let mostIdentities = 16

    package let route: Route
    package let scope: SessionScope?
    /// A JWS in compact form, unverified.
    package let token: String
    /// Who the client is by its certificate; nil where it was asked for none.
    package let identities: [PeerIdentity]?

    package init(route: Route, scope: SessionScope?, token: String, identities: [PeerIdentity]? = nil) {
        self.route = route
        self.scope = scope
        self.token = token
        self.identities = identities
    }

    /// Nil for what `payload` cannot have made.
    package init?(payload: some Collection<UInt8>) {
        let parts = payload.split(
            separator: 0x20, maxSplits: 4 + Self.mostIdentities, omittingEmptySubsequences: false)
        guard parts.count >= 3, let route = Route(rawValue: String(decoding: parts[0], as: UTF8.self)),
            !parts[2].isEmpty, parts[2].allSatisfy({ (0x21...0x7E).contains($0) })
        else { return nil }
        let name = String(decoding: parts[1], as: UTF8.self)
        let scope = SessionScope(name)
        guard route.takes(scope), scope != nil || name == "-" else { return nil }
        var identities: [PeerIdentity]?
        if let mark = parts.dropFirst(3).first {
            let names = parts.dropFirst(4)
            let read = names.compactMap { PeerIdentity(String(decoding: $0, as: UTF8.self)) }
            guard String(decoding: mark, as: UTF8.self) == Self.tlsMark, read.count == names.count,
                read.count <= Self.mostIdentities
            else { return nil }
            identities = read
        }
        self.init(
            route: route, scope: scope, token: String(decoding: parts[2], as: UTF8.self), identities: identities)
    }

    package var payload: [UInt8] {
        let names = identities.map { ([Self.tlsMark] + $0.map(\.text)).map { " \($0)" }.joined() } ?? ""
        return Array("\(route.rawValue) \(scope?.text ?? "-") \(token)\(names)".utf8)
    }

    private static let tlsMark = "tls"
}

/// What anybody may ask without a token.
package enum PublicQuery: String, CaseIterable, Sendable {
    /// The catalogue with a JSON Schema of each fault's parameters.
    case faults
    /// What this node can do, and why not.
    case node
    /// What this node calls itself, and nothing that would have to be asked for.
    case name
    /// Whether the engine's own loop turns.
    case liveness
    /// Whether the engine takes new sessions.
    case readiness
    /// What Prometheus scrapes. The answer's body is a string: the text in OpenMetrics' format.
    case metrics
}

/// The payload of an `answer` frame: an HTTP status, 2 bytes big endian, then a JSON body.
package struct Answer: Hashable, Sendable {
    package let status: Int
    package let body: JSON

    package init(status: Int, body: JSON) {
        self.status = status
        self.body = body
    }

    package init(_ problem: Problem) {
        self.init(status: problem.code.status, body: problem.json)
    }

    /// Nil for what `payload` cannot have made.
    package init?(payload: some Collection<UInt8>) {
        let bytes = Array(payload)
        guard bytes.count >= 2, let body = try? JSON(parsing: bytes[2...]) else { return nil }
        self.init(status: Int(bytes[0]) << 8 | Int(bytes[1]), body: body)
    }

    package var payload: [UInt8] {
        [UInt8(truncatingIfNeeded: status >> 8), UInt8(truncatingIfNeeded: status)] + body.bytes
    }

    package var frame: Frame { Frame(.answer, payload) }
}
