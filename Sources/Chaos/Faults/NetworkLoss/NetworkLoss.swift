package import ChaosModel
package import Steps

/// Loses a share of the target's packets.
package struct NetworkLoss: PacketShareFault {
    package static let kind = "network-loss"
    package static let summary = "loses a share of the target's packets"
    package static let effect = """
        The packets disappear, as on a bad line: TCP sends them again and slows down, UDP does not. \
        The sender is told nothing.
        """
    package static let words = (does: "lose", are: "are lost")
    package static let examples = [
        FaultExample("a bad line", ["percent": 5]),
        FaultExample("losses that come together", ["percent": 20, "correlation": 25]),
    ]

    package let packets: TrafficSelection
    package let chance: PacketChance

    package init(_ values: ParameterValues) throws(Problem) {
        packets = try TrafficSelection(values)
        chance = PacketChance(values)
    }

    package static func impairment(_ chance: PacketChance) -> TrafficImpairment {
        TrafficImpairment(loss: chance)
    }
}
