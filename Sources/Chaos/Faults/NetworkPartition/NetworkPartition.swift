package import ChaosModel
package import Steps

/// Cuts the target off from others.
package struct NetworkPartition: TrafficFault {
    package static let kind = "network-partition"
    package static let summary = "cuts the target off: its packets are lost"
    package static let effect = """
        Packets disappear, all of them, and nobody is told: connections hang until they time out. When what the target \
        sends is lost, as it is unless told otherwise, nobody whom it cannot reach gets an answer either. Unless told who, \
        that is everybody, the node's own probes included.
        """
    package static let ownParameters: [Parameter] = []
    package static let examples = [
        FaultExample(
            "without its database", ["destinationIPs": ["10.1.2.3"], "destinationPorts": ["5432"], "protocol": "tcp"]),
        FaultExample("alone in the world", [:]),
    ]

    package let packets: TrafficSelection

    package init(_ values: ParameterValues) throws(Problem) {
        packets = try TrafficSelection(values)
    }

    package var impairment: TrafficImpairment { TrafficImpairment(loss: PacketChance(.whole)) }

    package var summary: String { "lose all \(packets.words)" }
}
