package import ChaosModel
import Signatures

/// Decides whether a token is genuine, for this node, fresh, and for what it was presented for: in that order,
/// and the payload is read only after the signature is found good.
package struct RequestVerifier: Sendable {
    /// Seconds that a token may live. A short life bounds what a stolen token, and the replay store, can hold.
    package static let longestLife: Int64 = 60
    /// Seconds that a signer's clock may be ahead of this node's.
    package static let clockSkew: Int64 = 5

    /// The audience that a token must name.
    package let node: String

    package init(node: String) {
        self.node = node
    }

    /// - Parameters:
    ///   - operation: What the route that the token came by is for.
    ///   - scope: What the route names; the token must name the same, or nothing with nothing.
    ///   - now: Seconds since 1970.
    package func verify(
        _ envelope: SignedEnvelope, with keys: TenantKeys, for operation: Operation, on scope: SessionScope?, now: Int64
    ) throws(Problem) -> VerifiedRequest {
        let token = envelope.token
        guard let signer = keys[token.keyID] else {
            throw Problem(
                .keyUnknown, "no tenant has a key \"\(token.keyID)\"",
                hint: "have the public key added to the tenant's JWKS file on this node, with this \"kid\"")
        }
        let payload: [UInt8]
        do throws(JWSError) {
            payload = try token.payload(verifiedBy: signer.key)
        } catch {
            throw Problem(error)
        }
        var claims = try Claims(payload: payload)
        try requireIssuer(signer.tenant, &claims)
        try requireAudience(&claims)
        let (issuedAt, expires) = try requireFreshness(&claims, now: now)
        let tokenID = try Self.tokenID(&claims)
        let subject = try claims.optionalProse("sub")
        try requireOperation(operation, &claims)
        let demand = try Self.demand(operation, scope, &claims)
        try claims.refuseUntaken()
        return VerifiedRequest(
            signer: Signer(signer), tokenID: tokenID, subject: subject, issuedAt: issuedAt,
            expires: expires, demand: demand)
    }

    /// The same on a node whose wall clock is known to be wrong: by the right time as ever, and what is about a session by the
    /// wrong clock too, since its signer may be on this node, and has to be able to end what it began. What begins one is
    /// not: by a clock that was set back, tokens that were used long ago and are forgotten would be new again.
    ///
    /// - Parameters:
    ///   - now: Seconds since 1970, by the right clock.
    ///   - lead: How many seconds the wrong one is ahead; below zero when it is behind.
    ///   - rest: For how many seconds it is still wrong, at the most; nil when nobody knows.
    package func verify(
        _ envelope: SignedEnvelope, with keys: TenantKeys, for operation: Operation, on scope: SessionScope?,
        now: Int64, wrongClockAheadBy lead: Int64, for rest: Int64?
    ) throws(Problem) -> VerifiedRequest {
        do throws(Problem) {
            let request = try verify(envelope, with: keys, for: operation, on: scope, now: now)
            return request.remembered(whileAheadBy: lead, for: rest, expiring: request.expires, now: now)
        } catch {
            guard [.tokenExpired, .tokenNotYetValid].contains(error.code) else { throw error }
            // Why it is no good by the wrong clock either says no more.
            if let request = try? verify(envelope, with: keys, for: operation, on: scope, now: now + lead),
                request.isAboutSession
            {
                return request.signed(ahead: lead).remembered(
                    whileAheadBy: lead, for: rest, expiring: request.expires, now: now)
            }
            throw Problem(
                error.code, error.message, field: error.field,
                hint: "a session has set this node's clock \(abs(lead)) s \(lead < 0 ? "back" : "ahead"): sign by the "
                    + "right time, \(now)")
        }
    }

    private func requireIssuer(_ tenant: Tenant, _ claims: inout Claims) throws(Problem) {
        guard try claims.text("iss") == tenant.name else {
            throw Problem(
                .issuerMismatch, "the token's key belongs to another tenant than its issuer", field: "iss",
                hint: "\"iss\" is the tenant whose key signs")
        }
    }

    private func requireAudience(_ claims: inout Claims) throws(Problem) {
        let audience = try claims.required("aud")
        let names: [JSON]
        switch audience {
        case .string: names = [audience]
        case .array(let several) where (1...8).contains(several.count): names = several
        case .null, .boolean, .integer, .number, .array, .object:
            throw Problem(.fieldInvalid, "\"aud\" is not the name of a node, or a list of 1 to 8", field: "aud")
        }
        // By bytes: Swift's strings compare equal when they merely look equal.
        guard names.contains(where: { $0.stringValue?.utf8.elementsEqual(node.utf8) == true }) else {
            throw Problem(
                .audienceMismatch, "the token is for another node", field: "aud", hint: "this node is \"\(node)\"")
        }
    }

    private func requireFreshness(_ claims: inout Claims, now: Int64) throws(Problem) -> (Int64, Int64) {
        let issuedAt = try claims.instant("iat")
        let expires = try claims.instant("exp")
        let notBefore = try claims.optionalInstant("nbf")
        guard expires > issuedAt else {
            throw Problem(.fieldInvalid, "\"exp\" is not after \"iat\"", field: "exp")
        }
        guard expires > now else {
            throw Problem(
                .tokenExpired, "the token expired \(now - expires) s ago", field: "exp",
                hint: "make a new token; if this one was new, the signer's clock is behind this node's: \(now)")
        }
        let latest = now + Self.clockSkew
        for (name, instant) in [("iat", issuedAt), ("nbf", notBefore ?? issuedAt)] where instant > latest {
            throw Problem(
                .tokenNotYetValid, "the token becomes valid in \(instant - now) s", field: name,
                hint: "the signer's clock is ahead of this node's: \(now); \(Self.clockSkew) s are tolerated")
        }
        guard expires - issuedAt <= Self.longestLife else {
            throw Problem(
                .tokenLifetimeTooLong, "the token lives \(expires - issuedAt) s, more than \(Self.longestLife) s",
                field: "exp", hint: "30 s after \"iat\" is plenty")
        }
        return (issuedAt, expires)
    }

    private static func tokenID(_ claims: inout Claims) throws(Problem) -> String {
        let id = try claims.text("jti")
        guard (8...128).contains(id.utf8.count), id.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Problem(
                .fieldInvalid, "\"jti\" is not 8 to 128 visible ASCII characters", field: "jti",
                hint: "draw a new random one for each token, as a UUID")
        }
        return id
    }

    private func requireOperation(_ operation: Operation, _ claims: inout Claims) throws(Problem) {
        let name = try claims.text("op")
        guard name == operation.rawValue else {
            throw Problem(
                .operationMismatch, "the token does not allow this", field: "op",
                hint: "this request needs \"op\": \"\(operation.rawValue)\"")
        }
    }

    private static func demand(
        _ operation: Operation, _ scope: SessionScope?, _ claims: inout Claims
    ) throws(Problem) -> VerifiedRequest.Demand {
        switch (operation, scope) {
        case (.inject, nil): return .inject(try InjectionRequest(claims: &claims))
        case (.plan, nil): return .plan(try InjectionRequest(claims: &claims))
        case (.read, nil): return .list
        case (.read, let scope?): return .read(try require(scope, &claims))
        case (.renew, let scope?): return .renew(try require(scope, &claims))
        case (.end, let scope?): return .end(try require(scope, &claims))
        case (.inject, .some), (.plan, .some), (.renew, nil), (.end, nil):
            throw Problem(.requestMalformed, "\(operation.rawValue) is not asked for in this way")
        }
    }

    private static func require(_ scope: SessionScope, _ claims: inout Claims) throws(Problem) -> SessionScope {
        guard try claims.text(scope.kind) == scope.text else {
            throw Problem(
                .operationMismatch, "the token is for another \(scope.kind)", field: scope.kind,
                hint: "this request is about \(scope)")
        }
        return scope
    }
}
