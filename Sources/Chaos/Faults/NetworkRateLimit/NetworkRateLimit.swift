package import ChaosModel
package import Steps

/// Limits how fast the target's packets pass.
package struct NetworkRateLimit: TrafficFault {
    package static let kind = "network-rate-limit"
    package static let summary = "limits how fast the target's packets pass"
    package static let effect = """
        Packets wait until those before them have gone at the rate asked, which counts whole Ethernet frames: TCP gets \
        some 5 % less. There is one rate for all of them, also for both \
        directions together, unless another session hits a part of them: then each part has the rate. No burst goes faster. The queue holds as many packets as \
        half a second (and a latency beside it) carries full frames, but at least 32: the rest is dropped, as a router \
        does, so that the sender slows down. With segmentation offload a packet in it may be many on the wire.
        """
    package static let ownParameters = [
        Parameter(
            "rate", .rate(BitRate(8000)...BitRate(100_000_000_000)), isRequired: true,
            meaning: "bits a second that may pass")
    ]
    package static let examples = [FaultExample("a slow line", ["rate": "1Mbit"])]

    package let packets: TrafficSelection
    private let rate: BitRate

    package init(_ values: ParameterValues) throws(Problem) {
        packets = try TrafficSelection(values)
        rate = values.rate("rate")
    }

    package var summary: String { "let pass no more than \(rate) of \(packets.words)" }

    package var impairment: TrafficImpairment { TrafficImpairment(rate: rate) }
}
