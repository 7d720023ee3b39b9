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
    package let expires: Int64
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
        self.demand = demand
    }

    package var tenant: Tenant { signer.tenant }
}
