package import ChaosModel
package import Steps

extension TargetObservation {
    /// The one step of a fault on all that the target sends.
    ///
    /// - Throws: `target-refused` for a target without a network namespace of its own.
    func shapeTraffic(_ impairment: TrafficImpairment) throws(Problem) -> [Step] {
        guard facts.network != nil else {
            throw Problem(
                .targetRefused, "the target has no process, so no network namespace to act in", field: "target")
        }
        if isOnHostNetwork {
            throw Problem(
                .targetRefused, "the target is on the node's own network: the fault would hit the whole node",
                field: "target", hint: "choose a pod without hostNetwork")
        }
        return [.shapeTraffic(TrafficLayer(direction: .egress, filter: .everything, impairment: impairment))]
    }
}

/// A fault on a share of the packets that the target sends.
package protocol PacketShareFault: Fault {
    /// What happens to one, for its own part of the explanation.
    static var effect: String { get }
    /// What is done to such packets, as "lose", and what they are then, as "are lost".
    static var words: (does: String, are: String) { get }
    static func impairment(_ chance: PacketChance) -> TrafficImpairment

    var chance: PacketChance { get }
}

extension PacketShareFault {
    package static var explanation: String {
        """
        \(effect) It hits IPv4 and IPv6 packets that leave the target's network namespace by any interface but \
        loopback, and no ARP; what the target receives is not touched. All containers of a pod share the namespace, so \
        all are hit. A share is one of the packets that the kernel's netem sees: with segmentation offload one of them \
        may be many on the wire.
        """
    }
    package static var reach: Reach { .pod }
    package static var needs: [NodeFeature] { [.trafficShaping] }
    package static var parameters: [Parameter] {
        [
            Parameter(
                "percent", .percentage(0.0001...100), isRequired: true, meaning: "share of packets that \(words.are)"),
            Parameter(
                "correlation", .percentage(0...100), standard: 0,
                meaning: "how much each packet's luck resembles the one before; more of it makes the share less exact"),
        ]
    }

    package var summary: String {
        "\(Self.words.does) \(chance.percent) of outgoing packets"
            + (chance.correlation.map { ", correlated \($0)" } ?? "")
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.shapeTraffic(Self.impairment(chance))
    }
}

extension PacketChance {
    /// Of a fault's parameters.
    init(_ values: ParameterValues) {
        let correlation = values.percentage("correlation")
        self.init(values.percentage("percent"), correlation: correlation.value > 0 ? correlation : nil)
    }
}
