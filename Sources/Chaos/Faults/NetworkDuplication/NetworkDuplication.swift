package import ChaosModel
package import Steps

/// Doubles a share of the target's packets.
package struct NetworkDuplication: PacketShareFault {
    package static let kind = "network-duplication"
    package static let summary = "doubles a share of the target's packets"
    package static let effect = """
        The copy follows at once. TCP ignores it, but for the work; what uses UDP has to know by itself that it has had \
        a packet before.
        """
    package static let words = (does: "double", are: "are doubled")
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
