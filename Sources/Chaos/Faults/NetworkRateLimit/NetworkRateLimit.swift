package import ChaosModel
package import Steps

/// Limits how fast the target sends.
package struct NetworkRateLimit: Fault {
    package static let kind = "network-rate-limit"
    package static let summary = "limits how fast the target sends"
    package static let explanation = """
        Every IPv4 and IPv6 packet that leaves the target's network namespace by any interface but loopback waits \
        until those before it have gone at the rate asked, which counts whole Ethernet frames: TCP gets some 5 % less. \
        There is one rate for all of it, and no burst goes faster. The queue holds as many packets as half a second (and a \
        latency beside it) carries full frames, but at least 32: the rest is dropped, as a router does, so that the sender slows down. With \
        segmentation offload a packet in it may be many on the wire. All containers of a pod share the namespace, so all \
        are slowed. What the target receives is not touched.
        """
    package static let reach = Reach.pod
    package static let needs: [NodeFeature] = [.trafficShaping]
    package static let parameters = [
        Parameter(
            "rate", .rate(BitRate(8000)...BitRate(100_000_000_000)), isRequired: true,
            meaning: "bits a second that the target may send")
    ]
    package static let examples = [FaultExample("a slow line", ["rate": "1Mbit"])]

    private let rate: BitRate

    package init(_ values: ParameterValues) throws(Problem) {
        rate = values.rate("rate")
    }

    package var summary: String { "send no more than \(rate)" }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.shapeTraffic(TrafficImpairment(rate: rate))
    }
}
