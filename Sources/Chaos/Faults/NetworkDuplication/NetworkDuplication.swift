package import ChaosModel
package import Steps

/// Sends a share of the packets that the target sends twice.
package struct NetworkDuplication: Fault {
    package static let kind = "network-duplication"
    package static let summary = "sends a share of the packets that the target sends twice"
    package static let explanation = """
        The copy follows at once. TCP ignores it, but for the work; what uses UDP has to know by itself that it has had \
        a packet before.
        """ + " " + PacketShare.explanation
    package static let reach = Reach.pod
    package static let needs: [NodeFeature] = [.trafficShaping]
    package static let parameters = PacketShare.parameters("are sent twice")
    package static let examples = [
        FaultExample("a network that repeats itself", ["percent": 10])
    ]

    private let chance: PacketChance

    package init(_ values: ParameterValues) throws(Problem) {
        chance = PacketShare.chance(values)
    }

    package var summary: String { "send twice \(chance.words)" }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.shapeTraffic(TrafficImpairment(duplication: chance))
    }
}
