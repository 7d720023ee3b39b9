package import ChaosModel
package import Steps

/// Delays the target's packets.
package struct NetworkLatency: TrafficFault {
    package static let kind = "network-latency"
    package static let summary = "delays the target's packets"
    package static let effect = """
        Packets wait: the kernel's netem does the waiting, behind the interface's own queueing \
        discipline, which stays as it is. With jitter, packets may overtake each other.
        """
    package static let ownParameters = [
        Parameter(
            "latency", .duration(.milliseconds(1)...(.seconds(60))), standard: "500ms",
            meaning: "how long each packet waits"),
        Parameter(
            "jitter", .duration(.zero...(.seconds(2))), standard: "0s",
            meaning: "how far the wait varies to both sides; at most the latency, and 500ms with distribution=normal"),
        Parameter(
            "distribution", .choice(Distribution.allCases.map(\.rawValue)),
            standard: .string(Distribution.uniform.rawValue),
            meaning:
                "how waits lie: uniform, anywhere from latency-jitter to latency+jitter alike; normal, around the "
                + "latency with the jitter as standard deviation, cut at four of them and at no wait at all, so that a "
                + "jitter above a quarter of the latency raises the mean"),
        Parameter(
            "correlation", .percentage(0...100), standard: 0,
            meaning:
                "how much a packet's wait resembles the one before; only with uniform jitter, and as netem does it: hardly "
                + "at all where the jitter is far below 2s"),
    ]
    package static let examples = [
        FaultExample("a slow dependency", ["latency": "100ms"]),
        FaultExample("a long and unsteady line", ["latency": "200ms", "jitter": "50ms", "correlation": 25]),
        FaultExample("waits that are mostly alike", ["latency": "100ms", "jitter": "20ms", "distribution": "normal"]),
        FaultExample("slow answers", ["latency": "100ms", "direction": "ingress"]),
        FaultExample(
            "a slow database", ["latency": "50ms", "destinationIPs": ["10.1.0.0/16"], "destinationPorts": ["5432"]]),
    ]

    package let packets: TrafficSelection
    private let latency: Duration
    private let jitter: Duration
    private let distribution: Distribution
    private let correlation: Percentage

    private enum Distribution: String, CaseIterable {
        case uniform
        case normal
    }

    /// Four of them are within what the kernel keeps.
    private static let mostDeviation = Duration.milliseconds(500)

    package init(_ values: ParameterValues) throws(Problem) {
        packets = try TrafficSelection(values)
        latency = values.duration("latency")
        jitter = values.duration("jitter")
        distribution = Distribution(rawValue: values.text("distribution")) ?? .uniform
        correlation = values.percentage("correlation")
        if jitter > latency {
            throw Problem(
                .fieldInvalid, "jitter (\(jitter.text)) is larger than latency (\(latency.text))",
                field: "parameters.jitter", hint: "no packet can wait less than no time")
        }
        if distribution == .normal {
            if jitter == .zero {
                throw Problem(
                    .fieldInvalid, "distribution=normal needs a jitter", field: "parameters.jitter",
                    hint: "give one, or leave out the distribution")
            }
            if jitter > Self.mostDeviation {
                throw Problem(
                    .fieldInvalid,
                    "jitter (\(jitter.text)) is more than the \(Self.mostDeviation.text) that a normal distribution can have",
                    field: "parameters.jitter", hint: "at most \(Self.mostDeviation.text), or distribution=uniform")
            }
            if correlation.value > 0 {
                throw Problem(
                    .fieldInvalid, "the kernel correlates no waits that are normally distributed",
                    field: "parameters.correlation", hint: "leave out the correlation, or the distribution")
            }
        }
        if correlation.value > 0, jitter == .zero {
            throw Problem(
                .fieldInvalid, "correlation means nothing without jitter", field: "parameters.correlation",
                hint: "give a jitter, or leave correlation out")
        }
    }

    package var summary: String {
        var text = "delay \(packets.words) by \(latency.text)"
        if jitter > .zero { text += " ± \(jitter.text)" + (distribution == .normal ? ", normally distributed" : "") }
        if correlation.value > 0 { text += ", correlated \(correlation)" }
        return text
    }

    package var impairment: TrafficImpairment {
        switch distribution {
        case .uniform:
            TrafficImpairment(latency: latency, jitter: jitter, correlation: correlation.value > 0 ? correlation : nil)
        case .normal: TrafficImpairment(latency: latency, spreads: [.normal(deviation: jitter)])
        }
    }
}
