package import AgentAPI
package import ChaosModel
import LinuxSystem
package import Signatures

/// Makes the tokens of one tenant for one node.
package struct TokenSigner: Sendable {
    /// Long enough for a slow request, short enough that a stolen token is soon worthless.
    private static let life: Int64 = 30

    private let key: PrivateKey
    private let tenant: Tenant
    package let node: String

    /// - Parameter node: The name by which the node knows itself: the token is good nowhere else.
    package init(key: PrivateKey, tenant: Tenant, node: String) {
        self.key = key
        self.tenant = tenant
        self.node = node
    }

    /// The request with a token that no other request has.
    ///
    /// - Parameter now: Seconds since 1970.
    package func envelope(
        for request: TenantRequest, now: Int64 = wallSeconds()
    ) throws(CryptoError) -> EnvelopeRequest {
        let common: [(String, JSON?)] = [
            ("iss", .string(tenant.name)),
            ("aud", .string(node)),
            ("iat", .integer(now)),
            ("exp", .integer(now + Self.life)),
            ("jti", .string(Self.randomIdentifier())),
            ("op", .string(request.route.operation.rawValue)),
        ]
        let token = try CompactJWS.token(signing: .object(common + request.claims), with: key)
        return EnvelopeRequest(route: request.route, scope: request.scope, token: token)
    }

    private static func randomIdentifier() -> String {
        var generator = SystemRandomNumberGenerator()
        return Base64URL.encode((0..<16).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
    }
}
