package import ChaosModel
package import Steps

/// Cuts the target off from others.
package struct NetworkPartition: TrafficFault {
    package static let kind = "network-partition"
    package static let summary = "cuts the target off: nothing that it sends arrives"
    package static let effect = """
        Packets disappear on their way out, all of them, and the target is told nothing: connections hang until they \
        time out. Since its answers go nowhere either, nobody whom it cannot reach gets an answer. Unless told to whom, \
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

    package var summary: String { "lose all outgoing packets\(packets.words)" }
}
