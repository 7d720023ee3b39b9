package import ChaosModel
package import LinuxSystem

/// How many requests each tenant has left. Only what is verified counts: nobody uses up what is another's.
package struct RequestRates: Sendable {
    /// Seconds' worth that may come at once.
    private static let burst = 10.0
    private var buckets: [Tenant: TokenBucket] = [:]

    package init() {}

    /// - Throws: `rate-exceeded`. To end a session is never refused.
    package mutating func take(_ request: VerifiedRequest, perSecond rate: Int, at now: BootInstant) throws(Problem) {
        if case .end = request.demand { return }
        let allowed = Rate(atOnce: max(1, Double(rate) * Self.burst), perSecond: Double(rate))
        guard buckets[request.tenant, default: TokenBucket(allowed, at: now)].take(allowed, at: now) else {
            throw Problem(
                .rateExceeded, "tenant \(request.tenant) has asked for more than \(rate) things a second",
                hint: "wait a second; read a session's events instead of asking for it again and again")
        }
    }
}
