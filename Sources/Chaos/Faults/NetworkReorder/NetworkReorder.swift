package import ChaosModel
package import Steps

/// Lets packets overtake others.
package struct NetworkReorder: TrafficFault {
    package static let kind = "network-reorder"
    package static let summary = "lets packets overtake others of the target's"
    package static let effect = """
        A share of the packets is held back, and those that follow meanwhile overtake them; all others go on at once. \
        netem's own reordering is the other way round: `reorder 25%` lets a quarter go at once, and delays all others. \
        Where packets are further apart than latency, none is overtaken.
        """
    package static let ownParameters = [
        Parameter(
            "percent", .percentage(0.01...99), isRequired: true,
            meaning:
                "share of packets that are held back; with segmentation offload one of them may be many on the wire, which "
                + "keep their order"),
        Parameter(
            "latency", .duration(.milliseconds(1)...(.seconds(2))), standard: "10ms",
            meaning: "how long they are held back"),
    ]
    package static let examples = [
        FaultExample("every fourth packet late", ["percent": 25]),
        FaultExample("few packets, far too late", ["percent": 1, "latency": "200ms"]),
    ]

    package let packets: TrafficSelection
    private let share: Percentage
    private let latency: Duration

    package init(_ values: ParameterValues) throws(Problem) {
        packets = try TrafficSelection(values)
        share = values.percentage("percent")
        latency = values.duration("latency")
    }

    package var summary: String { "hold \(share) of \(packets.words) back for \(latency.text)" }

    package var impairment: TrafficImpairment { TrafficImpairment(spreads: [.hold(share, for: latency)]) }
}
