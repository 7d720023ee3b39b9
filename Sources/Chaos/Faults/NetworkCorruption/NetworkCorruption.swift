package import ChaosModel
package import Steps

/// Damages a share of the packets that the target sends.
package struct NetworkCorruption: Fault {
    package static let kind = "network-corruption"
    package static let summary = "damages a share of the packets that the target sends"
    package static let explanation = """
        One bit of the packet is turned over, in any of its headers, Ethernet's too, or in what it carries. Whoever receives it finds that the checksum is wrong and drops it, mostly: \
        it looks like a loss, at another place than network-loss.
        """ + " " + PacketShare.explanation
    package static let reach = Reach.pod
    package static let needs: [NodeFeature] = [.trafficShaping]
    package static let parameters = PacketShare.parameters("are damaged")
    package static let examples = [
        FaultExample("a broken cable", ["percent": 5])
    ]

    private let chance: PacketChance

    package init(_ values: ParameterValues) throws(Problem) {
        chance = PacketShare.chance(values)
    }

    package var summary: String { "damage \(chance.words)" }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.shapeTraffic(TrafficImpairment(corruption: chance))
    }
}
