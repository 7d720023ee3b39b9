package import ChaosModel
package import LinuxSystem

/// How many requests each tenant has left. Only what is verified counts: nobody uses up what is another's.
package struct RequestRates: Sendable {
    private struct Bucket {
        var level: Double
        var filled: BootInstant
    }

    /// Seconds' worth that may come at once.
    private static let burst = 10.0
    private var buckets: [Tenant: Bucket] = [:]

    package init() {}

    /// - Throws: `rate-exceeded`. To end a session is never refused.
    package mutating func take(_ request: VerifiedRequest, perSecond rate: Int, at now: BootInstant) throws(Problem) {
        if case .end = request.demand { return }
        let most = max(1, Double(rate) * Self.burst)
        var bucket = buckets[request.tenant] ?? Bucket(level: most, filled: now)
        bucket.level = min(most, bucket.level + (now - bucket.filled) / .seconds(1) * Double(rate))
        bucket.filled = now
        defer { buckets[request.tenant] = bucket }
        guard bucket.level >= 1 else {
            throw Problem(
                .rateExceeded, "tenant \(request.tenant) has asked for more than \(rate) things a second",
                hint: "wait a second; read a session's events instead of asking for it again and again")
        }
        bucket.level -= 1
    }
}
