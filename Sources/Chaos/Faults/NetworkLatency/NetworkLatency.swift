package import ChaosModel
package import Steps

/// Delays what the target sends.
package struct NetworkLatency: Fault {
    package static let kind = "network-latency"
    package static let summary = "delays every packet that the target sends"
    package static let explanation = """
        Every IPv4 and IPv6 packet that leaves the target's network namespace by any interface but loopback waits \
        before it is sent; neighbour discovery by ARP does not. All containers of a pod share the namespace, so all \
        are slowed. The kernel's netem does the waiting, behind the interface's own queueing discipline, which stays \
        as it is. With jitter, packets may overtake each other.
        """
    package static let reach = Reach.pod
    package static let needs: [NodeFeature] = [.trafficShaping]
    package static let parameters = [
        Parameter(
            "latency", .duration(.milliseconds(1)...(.seconds(60))), standard: "500ms",
            meaning: "how long each packet waits"),
        Parameter(
            "jitter", .duration(.zero...(.seconds(60))), standard: "0s",
            meaning: "how far the wait varies to both sides; at most the latency"),
        Parameter(
            "correlation", .percentage(0...100), standard: 0,
            meaning: "how much a packet's wait resembles the one before; only with jitter"),
    ]
    package static let examples = [
        FaultExample("a slow dependency", ["latency": "100ms"]),
        FaultExample("a long and unsteady line", ["latency": "200ms", "jitter": "50ms", "correlation": 25]),
    ]

    private let latency: Duration
    private let jitter: Duration
    private let correlation: Percentage

    package init(_ values: ParameterValues) throws(Problem) {
        latency = values.duration("latency")
        jitter = values.duration("jitter")
        correlation = values.percentage("correlation")
        if jitter > latency {
            throw Problem(
                .fieldInvalid, "jitter (\(jitter.text)) is larger than latency (\(latency.text))",
                field: "parameters.jitter", hint: "no packet can wait less than no time")
        }
        if correlation.value > 0, jitter == .zero {
            throw Problem(
                .fieldInvalid, "correlation means nothing without jitter", field: "parameters.correlation",
                hint: "give a jitter, or leave correlation out")
        }
    }

    package var summary: String {
        var text = "delay outgoing packets by \(latency.text)"
        if jitter > .zero { text += " ± \(jitter.text)" }
        if correlation.value > 0 { text += ", correlated \(correlation)" }
        return text
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.shapeTraffic(
            TrafficImpairment(
                latency: latency, jitter: jitter, correlation: correlation.value > 0 ? correlation : nil))
    }
}
