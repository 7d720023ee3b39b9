import ChaosModel
import Steps

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

/// What faults on a share of the packets have in common.
enum PacketShare {
    /// What is true of the explanation of each.
    static let explanation = """
        It hits IPv4 and IPv6 packets that leave the target's network namespace by any interface but loopback, and no \
        ARP; what the target receives is not touched. All containers of a pod share the namespace, so all are hit. A share is one of the packets that the \
        kernel's netem sees: with segmentation offload one of them may be many on the wire.
        """

    static func parameters(_ verb: String) -> [Parameter] {
        [
            Parameter("percent", .percentage(0.0001...100), isRequired: true, meaning: "share of packets that \(verb)"),
            Parameter(
                "correlation", .percentage(0...100), standard: 0,
                meaning: "how much each packet's luck resembles the one before; more of it makes the share less exact"),
        ]
    }

    static func chance(_ values: ParameterValues) -> PacketChance {
        let correlation = values.percentage("correlation")
        return PacketChance(values.percentage("percent"), correlation: correlation.value > 0 ? correlation : nil)
    }
}

extension PacketChance {
    /// For people, as "5% of outgoing packets, correlated 25%".
    var words: String {
        "\(percent) of outgoing packets" + (correlation.map { ", correlated \($0)" } ?? "")
    }
}
