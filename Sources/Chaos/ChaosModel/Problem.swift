/// A refusal or failure as the API tells it: a problem document (RFC 9457) with a code that never changes.
package struct Problem: Error, Hashable, Sendable {
    package let code: ProblemCode
    /// For people: lower case, no full stop, cause last.
    package let message: String
    /// The field of the request that is wrong, as `parameters.latency`.
    package let field: String?
    /// What to do about it.
    package let hint: String?
    /// The session or group that the problem is about, as with a replayed request.
    package let scope: SessionScope?

    package init(
        _ code: ProblemCode, _ message: String, field: String? = nil, hint: String? = nil,
        about scope: SessionScope? = nil
    ) {
        self.code = code
        self.message = message
        self.field = field
        self.hint = hint
        self.scope = scope
    }

    package var json: JSON {
        .object([
            ("type", .string("urn:squall:problem:\(code.rawValue)")),
            ("title", .string(code.title)),
            ("status", .integer(Int64(code.status))),
            ("code", .string(code.rawValue)),
            ("detail", .string(message)),
            ("field", field.map(JSON.string)),
            ("hint", hint.map(JSON.string)),
            scope?.member ?? ("session", nil),
        ])
    }
}

/// Every way in which the API can refuse. The raw values are part of the API.
package enum ProblemCode: String, CaseIterable, Sendable {
    // Who asks, and how.
    case tokenMissing = "token-missing"
    case tokenMalformed = "token-malformed"
    case algorithmRefused = "algorithm-refused"
    case keyUnknown = "key-unknown"
    case signatureInvalid = "signature-invalid"
    case issuerMismatch = "issuer-mismatch"
    case audienceMismatch = "audience-mismatch"
    case tokenExpired = "token-expired"
    case tokenNotYetValid = "token-not-yet-valid"
    case tokenLifetimeTooLong = "token-lifetime-too-long"
    case operationMismatch = "operation-mismatch"
    case identityMismatch = "identity-mismatch"
    case replayed = "replayed"
    case replayStoreFull = "replay-store-full"
    case rateExceeded = "rate-exceeded"
    case notOperator = "not-operator"
    // What the node's policy allows.
    case tenantUnknown = "tenant-unknown"
    case faultDenied = "fault-denied"
    case durationDenied = "duration-denied"
    case intensityDenied = "intensity-denied"
    case namespaceDenied = "namespace-denied"
    case targetProtected = "target-protected"
    case optInMissing = "opt-in-missing"
    // What is asked.
    case requestMalformed = "request-malformed"
    case fieldUnknown = "field-unknown"
    case fieldMissing = "field-missing"
    case fieldInvalid = "field-invalid"
    case faultUnknown = "fault-unknown"
    case faultUnsupported = "fault-unsupported"
    case targetNotFound = "target-not-found"
    case targetGone = "target-gone"
    case targetAmbiguous = "target-ambiguous"
    case targetRefused = "target-refused"
    case targetUnresolvable = "target-unresolvable"
    case sessionNotFound = "session-not-found"
    case sessionEnded = "session-ended"
    case limitExceeded = "limit-exceeded"
    // What this node can do now.
    case runtimeUnavailable = "runtime-unavailable"
    case journalUnavailable = "journal-unavailable"
    case auditUnavailable = "audit-unavailable"
    case engineUnavailable = "engine-unavailable"
    case draining = "draining"
    case halted = "halted"
    case targetBusy = "target-busy"
    case nodeUnhealthy = "node-unhealthy"
    case applyFailed = "apply-failed"
    case notFound = "not-found"
    case methodNotAllowed = "method-not-allowed"
    case internalError = "internal-error"

    /// The HTTP status that goes with the code.
    package var status: Int {
        switch self {
        case .tokenMissing, .tokenMalformed, .algorithmRefused, .keyUnknown, .signatureInvalid, .issuerMismatch,
            .audienceMismatch, .tokenExpired, .tokenNotYetValid, .tokenLifetimeTooLong:
            401
        case .operationMismatch, .identityMismatch, .notOperator, .targetRefused, .tenantUnknown, .faultDenied,
            .durationDenied, .intensityDenied, .namespaceDenied, .targetProtected, .optInMissing:
            403
        case .replayed, .sessionEnded: 409
        case .replayStoreFull, .rateExceeded, .limitExceeded: 429
        case .requestMalformed: 400
        case .fieldUnknown, .fieldMissing, .fieldInvalid, .faultUnknown, .faultUnsupported, .targetAmbiguous,
            .targetUnresolvable:
            422
        case .targetNotFound, .sessionNotFound, .notFound: 404
        case .targetGone: 410
        case .methodNotAllowed: 405
        case .runtimeUnavailable, .journalUnavailable, .auditUnavailable, .engineUnavailable, .draining, .halted,
            .targetBusy, .nodeUnhealthy:
            503
        case .applyFailed, .internalError: 500
        }
    }

    /// The code as a person would say it.
    package var title: String {
        rawValue.split(separator: "-").joined(separator: " ")
    }
}
