package import ChaosModel

/// What a tenant has signed for this node, for now, and for the operation it was presented for.
/// Only `RequestVerifier` makes one. It may still be a copy of one that was used before: `ReplayStore` knows.
package struct VerifiedRequest: Hashable, Sendable {
    package enum Demand: Hashable, Sendable {
        case inject(InjectionRequest)
        case plan(InjectionRequest)
        case list
        case read(SessionScope)
        case renew(SessionScope)
        case end(SessionScope)
    }

    package let signer: Signer
    /// The `jti`: the tenant gives it once.
    package let tokenID: String
    /// The `sub`: on whose behalf the tenant asks, as the tenant says.
    package let subject: String?
    package let issuedAt: Int64
    package private(set) var expires: Int64
    /// Until when its token may be taken for a new one if it is forgotten.
    package private(set) var rememberedUntil: Int64
    package let demand: Demand
    /// By which the client's certificate speaks for the tenant; nil for what came by no TLS.
    package internal(set) var identity: PeerIdentity?

    init(
        signer: Signer, tokenID: String, subject: String?, issuedAt: Int64, expires: Int64,
        demand: Demand
    ) {
        self.signer = signer
        self.tokenID = tokenID
        self.subject = subject
        self.issuedAt = issuedAt
        self.expires = expires
        rememberedUntil = expires
        self.demand = demand
    }

    package var tenant: Tenant { signer.tenant }
}

// MARK: - While the node's wall clock is known to be wrong

extension VerifiedRequest {
    /// Whether it is about a session that there is, and begins none.
    var isAboutSession: Bool {
        switch demand {
        case .read, .renew, .end: true
        case .inject, .plan, .list: false
        }
    }

    /// As the right clock has it, when its signer's is as wrong as the node's.
    ///
    /// - Parameter error: How far ahead the wrong clock is, in seconds.
    func signed(ahead error: Int64) -> VerifiedRequest {
        var request = self
        request.expires -= error
        return request
    }

    /// To be remembered for as long as either clock takes its token for a new one, if it would do something then: a session that is
    /// ended twice, or read, is no different for it.
    ///
    /// - Parameters:
    ///   - rest: For how many seconds that may be; nil for as long as any session may last.
    ///   - own: When it expires as its signer has it.
    ///   - now: Seconds since 1970, by the right clock.
    func remembered(
        whileAheadBy error: Int64, for rest: Int64?, expiring own: Int64, now: Int64
    ) -> VerifiedRequest {
        guard case .renew = demand else { return self }
        var request = self
        let rest = rest ?? InjectionRequest.durations.upperBound.components.seconds
        let longest = now + rest + 2 * RequestVerifier.longestLife
        // A second more, since the error is no whole number of them.
        request.rememberedUntil = max(expires, min(max(own, own - error) + 1, longest))
        return request
    }
}
