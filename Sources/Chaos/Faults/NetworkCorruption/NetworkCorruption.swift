package import ChaosModel
package import Steps

/// Damages a share of the target's packets.
package struct NetworkCorruption: PacketShareFault {
    package static let kind = "network-corruption"
    package static let summary = "damages a share of the target's packets"
    package static let effect = """
        One bit of the packet is turned over, in any of its headers, Ethernet's too (which matters only on the way out), or in what it carries. \
        Whoever receives it finds that the checksum is wrong and drops it, mostly: it looks like a loss, at another place than network-loss. \
        Of what arrives, a network card may have found the checksum right already: then the damage reaches the target.
        """
    package static let words = (does: "damage", are: "are damaged")
    package static let examples = [
        FaultExample("a broken cable", ["percent": 5])
    ]

    package let packets: TrafficSelection
    package let chance: PacketChance

    package init(_ values: ParameterValues) throws(Problem) {
        packets = try TrafficSelection(values)
        chance = PacketChance(values)
    }

    package static func impairment(_ chance: PacketChance) -> TrafficImpairment {
        TrafficImpairment(corruption: chance)
    }
}
