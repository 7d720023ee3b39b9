package import ChaosModel
package import Steps

/// A fault on what the target sends, or on a part of it.
package protocol TrafficFault: Fault {
    /// What happens, for its own part of the explanation.
    static var effect: String { get }
    /// Beside those that say which packets.
    static var ownParameters: [Parameter] { get }

    var packets: TrafficSelection { get }
    var impairment: TrafficImpairment { get }
}

extension TrafficFault {
    package static var explanation: String {
        """
        \(effect) It is about the IPv4 and IPv6 packets that leave the target's network namespace by any interface but \
        loopback, or about those of them that the parameters name, and never about ARP; what the target receives is \
        not touched. All containers of a pod share the namespace, so all are hit. Addresses and ports are those of the \
        packets as they leave: with kube-proxy a service's cluster IP and port, with a socket load balancer, as Cilium's, \
        those of its endpoints. What is sent in fragments has no ports. In IPv6, icmp has neighbour discovery too, without \
        which soon nothing is reached.
        """
    }
    package static var reach: Reach { .pod }
    package static var needs: [NodeFeature] { [.trafficShaping] }
    package static var parameters: [Parameter] { ownParameters + TrafficSelection.parameters }

    /// The one step of it.
    ///
    /// - Throws: `target-refused` for a target without a network namespace of its own.
    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        guard target.facts.network != nil else {
            throw Problem(
                .targetRefused, "the target has no process, so no network namespace to act in", field: "target")
        }
        if target.isOnHostNetwork {
            throw Problem(
                .targetRefused, "the target is on the node's own network: the fault would hit the whole node",
                field: "target", hint: "choose a pod without hostNetwork")
        }
        return [.shapeTraffic(TrafficLayer(filter: packets.filter, impairment: impairment))]
    }
}

/// Which of the packets that the target sends.
package struct TrafficSelection: Sendable {
    package let filter: TrafficFilter
    /// After "packets", as " (tcp; to port 443)"; nothing for all.
    package let words: String

    package static let parameters = [
        Parameter("destinationIPs", .networks(most: 32), meaning: "only packets to these addresses and networks"),
        Parameter("destinationPorts", .ports(most: 16), meaning: "only packets to these ports"),
        Parameter("sourcePorts", .ports(most: 16), meaning: "only packets from these ports of the target"),
        Parameter(
            "protocol", .choice(TrafficBox.Transport.allCases.map(\.rawValue)),
            meaning: "only packets of this one; with ports, both that have them unless told"),
    ]
    /// What all of it may come to.
    private static let mostBoxes = 128

    /// - Throws: `field-invalid` for ports of a protocol without them, and when it makes too many filters.
    package init(_ values: ParameterValues) throws(Problem) {
        let networks = values.optionalNetworks("destinationIPs")
        let destinationPorts = values.optionalPorts("destinationPorts")
        let sourcePorts = values.optionalPorts("sourcePorts")
        let transport = values.optionalText("protocol").flatMap(TrafficBox.Transport.init)
        let hasPorts = destinationPorts != nil || sourcePorts != nil
        if hasPorts, let transport, !transport.hasPorts {
            throw Problem(
                .fieldInvalid, "\(transport.rawValue) has no ports", field: "parameters.protocol",
                hint: "leave out the protocol, or the ports")
        }
        let transports = transport.map { [$0] } ?? (hasPorts ? TrafficBox.Transport.allCases.filter(\.hasPorts) : nil)
        let sources = sourcePorts?.flatMap(\.blocks)
        let destinations = destinationPorts?.flatMap(\.blocks)
        let count =
            (networks?.count ?? TrafficBox.Family.allCases.count) * (transports?.count ?? 1) * (sources?.count ?? 1)
            * (destinations?.count ?? 1)
        if count > Self.mostBoxes {
            throw Problem(
                .fieldInvalid, "these addresses, ports and protocols make \(count) filters",
                field: "parameters",
                hint: "at most \(Self.mostBoxes): name networks, and ranges that begin and end evenly")
        }
        var boxes: Set<TrafficBox> = []
        for family in TrafficBox.Family.allCases {
            let ofFamily = networks?.filter { $0.isIPv4 == (family == .ipv4) }
            for network in Self.orAny(ofFamily) {
                for transport in Self.orAny(transports) {
                    for source in Self.orAny(sources) {
                        for destination in Self.orAny(destinations) {
                            boxes.insert(
                                TrafficBox(
                                    family: family, destination: network, transport: transport, sourcePorts: source,
                                    destinationPorts: destination))
                        }
                    }
                }
            }
        }
        filter = TrafficFilter(boxes: boxes)
        var parts = transport.map { [$0.rawValue] } ?? []
        if let networks { parts.append("to \(Self.list(networks))") }
        if let destinationPorts { parts.append("to port \(Self.list(destinationPorts))") }
        if let sourcePorts { parts.append("from port \(Self.list(sourcePorts))") }
        words = parts.isEmpty ? "" : " (\(parts.joined(separator: "; ")))"
    }

    private static func orAny<Value>(_ values: [Value]?) -> [Value?] {
        values?.map { $0 } ?? [nil]
    }

    private static func list(_ values: [some CustomStringConvertible]) -> String {
        values.map(\.description).joined(separator: ", ")
    }
}

/// A fault on a share of the packets that the target sends.
package protocol PacketShareFault: TrafficFault {
    /// What is done to such packets, as "lose", and what they are then, as "are lost".
    static var words: (does: String, are: String) { get }
    static func impairment(_ chance: PacketChance) -> TrafficImpairment

    var chance: PacketChance { get }
}

extension PacketShareFault {
    package static var ownParameters: [Parameter] {
        [
            Parameter(
                "percent", .percentage(0.0001...100), isRequired: true,
                meaning:
                    "share of packets that \(words.are); with segmentation offload one of them may be many on the wire"),
            Parameter(
                "correlation", .percentage(0...100), standard: 0,
                meaning: "how much each packet's luck resembles the one before; more of it makes the share less exact"),
        ]
    }

    package var impairment: TrafficImpairment { Self.impairment(chance) }

    package var summary: String {
        "\(Self.words.does) \(chance.percent) of outgoing packets\(packets.words)"
            + (chance.correlation.map { ", correlated \($0)" } ?? "")
    }
}

extension PacketChance {
    /// Of a fault's parameters.
    init(_ values: ParameterValues) {
        let correlation = values.percentage("correlation")
        self.init(values.percentage("percent"), correlation: correlation.value > 0 ? correlation : nil)
    }
}
