package import ChaosModel
package import Steps

/// Sends a share of the packets that the target sends twice.
package struct NetworkDuplication: PacketShareFault {
    package static let kind = "network-duplication"
    package static let summary = "sends a share of the packets that the target sends twice"
    package static let effect = """
        The copy follows at once. TCP ignores it, but for the work; what uses UDP has to know by itself that it has had \
        a packet before.
        """
    package static let words = (does: "send twice", are: "are sent twice")
    package static let examples = [
        FaultExample("a network that repeats itself", ["percent": 10])
    ]

    package let packets: TrafficSelection
    package let chance: PacketChance

    package init(_ values: ParameterValues) throws(Problem) {
        packets = try TrafficSelection(values)
        chance = PacketChance(values)
    }

    package static func impairment(_ chance: PacketChance) -> TrafficImpairment {
        TrafficImpairment(duplication: chance)
    }
}
