package import ChaosModel

/// A token that has been used, as the journal keeps it.
package struct TakenToken: Hashable, Sendable {
    package let tenant: Tenant
    package let tokenID: String
    package let expires: Int64
    /// What it was used for, so that who lost the answer can ask again.
    package let scope: SessionScope?

    package init(tenant: Tenant, tokenID: String, expires: Int64, scope: SessionScope?) {
        self.tenant = tenant
        self.tokenID = tokenID
        self.expires = expires
        self.scope = scope
    }
}

/// A verified request whose token nobody has used before, nor can use again. Only `ReplayStore.take` makes one.
package struct AuthorizedRequest: Hashable, Sendable {
    package let request: VerifiedRequest
    /// To be on disk before anything is changed.
    package let token: TakenToken

    fileprivate init(request: VerifiedRequest, token: TakenToken) {
        self.request = request
        self.token = token
    }
}

/// Remembers the tokens that were used until they have expired. It forgets none sooner: when full, it refuses.
package struct ReplayStore: Sendable {
    private struct Name: Hashable {
        let tenant: Tenant
        let tokenID: String
    }

    package let capacity: Int
    /// What one tenant may have of it: the others' renewals have to find room.
    package let capacityOfTenant: Int
    /// The latest wall time seen, seconds since 1970. What had expired by then stays expired when the clock is
    /// set back, for it may be forgotten.
    package private(set) var highWater: Int64
    private var taken: [Name: SessionScope?] = [:]
    private var counts: [Tenant: Int] = [:]
    /// Tokens live for a minute at most, so there are few keys here.
    private var namesByExpiry: [Int64: [Name]] = [:]

    /// - Parameters:
    ///   - taken: What the journal knows. All are kept that have not expired, also beyond the capacity.
    package init(
        capacity: Int = 65536, capacityOfTenant: Int = 8192, highWater: Int64 = 0, taken: some Sequence<TakenToken> = []
    ) {
        self.capacity = capacity
        self.capacityOfTenant = capacityOfTenant
        self.highWater = highWater
        for token in taken where token.expires > highWater { remember(token) }
    }

    package var count: Int { taken.count }

    /// How many of them have not expired.
    package func count(after now: Int64) -> Int {
        namesByExpiry.reduce(0) { $0 + ($1.key > now ? $1.value.count : 0) }
    }

    /// All that are remembered.
    package var tokens: [TakenToken] {
        namesByExpiry.flatMap { expiry, names in
            names.map { name in
                TakenToken(
                    tenant: name.tenant, tokenID: name.tokenID, expires: expiry, scope: taken[name].flatMap(\.self))
            }
        }
    }

    /// Uses a token up.
    ///
    /// - Parameter scope: What it will begin or is about.
    package mutating func take(
        _ request: VerifiedRequest, for scope: SessionScope?, now: Int64
    ) throws(Problem) -> AuthorizedRequest {
        try requireFreshness(of: request, now: now)
        if let earlier = taken[Name(tenant: request.tenant, tokenID: request.tokenID)] {
            throw Problem(
                .replayed, "this token has been used before", field: "jti",
                hint: earlier == nil
                    ? "sign a new token" : "read the session to see what became of it; sign a new token for another",
                about: earlier)
        }
        let token = TakenToken(
            tenant: request.tenant, tokenID: request.tokenID, expires: request.rememberedUntil, scope: scope)
        let own = counts[request.tenant] ?? 0
        guard taken.count < capacity, own < capacityOfTenant else {
            // A fault is ended whatever happens, and ending it twice is as good as once.
            if case .end = request.demand { return AuthorizedRequest(request: request, token: token) }
            let next = namesByExpiry.keys.min() ?? highWater
            let whose = own < capacityOfTenant ? "\(taken.count) tokens" : "\(own) tokens of tenant \(request.tenant)"
            throw Problem(
                .replayStoreFull, "\(whose) that are still alive have been used on this node",
                hint: "try again in \(max(1, next - highWater)) s, with tokens that live shorter")
        }
        remember(token)
        return AuthorizedRequest(request: request, token: token)
    }

    /// Refuses what had expired before the clock was set back, also what is not taken, as a read.
    package mutating func requireFreshness(of request: VerifiedRequest, now: Int64) throws(Problem) {
        advance(to: now)
        guard request.expires > highWater else {
            throw Problem(
                .tokenExpired, "the token had expired before this node's clock was set back by \(highWater - now) s",
                field: "exp", hint: "tokens are accepted again when the clock has passed \(highWater)")
        }
    }

    private mutating func advance(to now: Int64) {
        guard now > highWater else { return }
        highWater = now
        for expiry in namesByExpiry.keys where expiry <= now {
            for name in namesByExpiry.removeValue(forKey: expiry) ?? [] {
                taken.removeValue(forKey: name)
                counts[name.tenant, default: 1] -= 1
                if counts[name.tenant] == 0 { counts[name.tenant] = nil }
            }
        }
    }

    private mutating func remember(_ token: TakenToken) {
        let name = Name(tenant: token.tenant, tokenID: token.tokenID)
        guard taken.updateValue(token.scope, forKey: name) == nil else { return }
        namesByExpiry[token.expires, default: []].append(name)
        counts[token.tenant, default: 0] += 1
    }
}
