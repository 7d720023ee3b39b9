import ChaosModel

/// How long a host that is to go down still stays: long enough for the caller to be answered.
struct ShutdownDelay: Sendable {
    static let parameter = Parameter(
        "delay", .duration(.seconds(1)...(.seconds(3600))), standard: "5s",
        meaning: "how long the host still stays, in which the session can be ended; shorter than the session")

    let value: Duration

    init(_ values: ParameterValues) {
        value = values.duration(Self.parameter.name)
    }

    func refuseTooShort(_ duration: Duration) throws(Problem) {
        if value >= duration {
            throw Problem(
                .fieldInvalid, "a session of \(duration.text) is over before the delay of \(value.text) is",
                field: "parameters.\(Self.parameter.name)", hint: "give the session more time, or the host less")
        }
    }
}
