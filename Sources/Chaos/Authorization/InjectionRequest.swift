package import ChaosModel

/// Which fault is asked for, on what, and for how long. The parameters are the fault's own to check.
package struct InjectionRequest: Hashable, Sendable {
    package static let defaultDuration = Duration.seconds(30)
    package static let durations = Duration.milliseconds(100)...Duration.seconds(2 * 3600)
    package static let shortestLease = Duration.seconds(1)

    package let fault: String
    package let parameters: JSON
    package let target: InjectionTarget
    package let duration: Duration
    /// The session reverts when it is not renewed for so long.
    package let lease: Duration?
    package let onRestart: RestartPolicy
    package let reason: String?
    package let trace: TraceContext?

    init(claims: inout Claims) throws(Problem) {
        fault = try Self.fault(&claims)
        parameters = try Self.parameters(&claims)
        target = try InjectionTarget(claims.required("target"))
        duration = try claims.optionalDuration("duration") ?? Self.defaultDuration
        guard Self.durations.contains(duration) else {
            throw Problem(
                .fieldInvalid, "\"duration\" is \(duration.text)", field: "duration",
                hint: "\(Self.durations.lowerBound.text) to \(Self.durations.upperBound.text)")
        }
        lease = try claims.optionalDuration("lease")
        if let lease, lease < Self.shortestLease || lease > duration {
            throw Problem(
                .fieldInvalid, "\"lease\" is \(lease.text)", field: "lease",
                hint: "\(Self.shortestLease.text) at least, and no longer than the duration of \(duration.text)")
        }
        onRestart = try Self.onRestart(&claims, of: target)
        reason = try claims.optionalProse("reason")
        trace = try Self.trace(&claims)
    }

    private static func trace(_ claims: inout Claims) throws(Problem) -> TraceContext? {
        guard let text = try claims.optionalText("traceparent") else { return nil }
        guard let trace = TraceContext(text) else {
            throw Problem(
                .fieldInvalid, "\"traceparent\" is not one of W3C's Trace Context", field: "traceparent",
                hint: "00-, 32 hexadecimal digits, -, 16 of them, -, 2 of them")
        }
        return trace
    }

    private static func fault(_ claims: inout Claims) throws(Problem) -> String {
        let name = try claims.text("fault")
        guard (1...64).contains(name.utf8.count), name.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Problem(.fieldInvalid, "\"fault\" is not the name of a fault", field: "fault")
        }
        return name
    }

    private static func onRestart(
        _ claims: inout Claims, of target: InjectionTarget
    ) throws(Problem) -> RestartPolicy {
        guard let word = claims.take("onRestart") else { return .end }
        guard let policy = word.stringValue.flatMap({ RestartPolicy(rawValue: $0) }) else {
            throw Problem(
                .fieldInvalid, "\"onRestart\" is \(word.text)", field: "onRestart",
                hint: RestartPolicy.allCases.map { "\"\($0.rawValue)\"" }.joined(separator: " or "))
        }
        guard policy == .end || target.isStartedAgain else {
            throw Problem(
                .fieldInvalid, "\"onRestart\" is \(word.text), but only a container or a unit is started again",
                field: "onRestart", hint: "name the container or the unit as the target, or leave it out")
        }
        return policy
    }

    private static func parameters(_ claims: inout Claims) throws(Problem) -> JSON {
        guard let parameters = claims.take("parameters") else { return [:] }
        guard parameters.members != nil else {
            throw Problem(
                .fieldInvalid, "\"parameters\" is \(parameters.typeName), not an object", field: "parameters")
        }
        return parameters
    }
}
