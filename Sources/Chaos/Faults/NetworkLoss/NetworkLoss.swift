package import ChaosModel
package import Steps

/// Loses a share of the packets that the target sends.
package struct NetworkLoss: Fault {
    package static let kind = "network-loss"
    package static let summary = "loses a share of the packets that the target sends"
    package static let explanation = """
        The packets disappear on their way out, as on a bad line: TCP sends them again and slows down, UDP does not. \
        The sender is told nothing.
        """ + " " + PacketShare.explanation
    package static let reach = Reach.pod
    package static let needs: [NodeFeature] = [.trafficShaping]
    package static let parameters = PacketShare.parameters("are lost")
    package static let examples = [
        FaultExample("a bad line", ["percent": 5]),
        FaultExample("losses that come together", ["percent": 20, "correlation": 25]),
    ]

    private let chance: PacketChance

    package init(_ values: ParameterValues) throws(Problem) {
        chance = PacketShare.chance(values)
    }

    package var summary: String { "lose \(chance.words)" }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.shapeTraffic(TrafficImpairment(loss: chance))
    }
}
