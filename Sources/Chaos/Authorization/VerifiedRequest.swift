package import ChaosModel

/// What a tenant has signed for this node, for now, and for the operation it was presented for.
/// Only `RequestVerifier` makes one. It may still be a copy of one that was used before: `ReplayStore` knows.
package struct VerifiedRequest: Hashable, Sendable {
    package enum Demand: Hashable, Sendable {
        case inject(InjectionRequest)
        case plan(InjectionRequest)
        case list
        case read(SessionID)
        case renew(SessionID)
        case end(SessionID)
    }

    package let tenant: Tenant
    /// The `kid` of the key that signed.
    package let keyID: String
    /// The `jti`: the tenant gives it once.
    package let tokenID: String
    /// The `sub`: on whose behalf the tenant asks, as the tenant says.
    package let subject: String?
    package let issuedAt: Int64
    package let expires: Int64
    package let demand: Demand

    init(
        tenant: Tenant, keyID: String, tokenID: String, subject: String?, issuedAt: Int64, expires: Int64,
        demand: Demand
    ) {
        self.tenant = tenant
        self.keyID = keyID
        self.tokenID = tokenID
        self.subject = subject
        self.issuedAt = issuedAt
        self.expires = expires
        self.demand = demand
    }
}
