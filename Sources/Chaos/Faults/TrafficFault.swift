package import ChaosModel
package import Steps

/// A fault on what the target sends or receives, or on a part of it.
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
        loopback, or that arrive there, as the direction says, or about those of them that the other parameters name, and \
        never about ARP or what networks say of themselves. All containers of a pod share the namespace, so all are hit; a \
        container of Docker or Podman or a unit that shares its own with others is refused to whoever may not hit those, \
        too. Of a target on the node's own network, as a unit of systemd mostly is, it is about what the target's own cgroup sends; of the whole host it is \
        about what everybody sends or receives there, but for what the host is reached by. docs/faults.md says under "Which \
        packets" how they are named.
        """
    }
    package static var reach: Reach { .pod }
    package static var needs: [NodeFeature] { [.trafficShaping] }
    package static var parameters: [Parameter] { ownParameters + TrafficSelection.parameters }

    /// The one step of it.
    ///
    /// - Throws: `target-refused` for a target without a process, `field-invalid` for what a target on the node's own network
    ///   receives.
    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        try target.refuseWithoutNetwork()
        var filter = packets.filter
        if target.isOnHostNetwork, !target.facts.isHost {
            // Whom a packet is for is known only after it has passed every place where it could be held up.
            guard packets.direction == .egress else {
                throw Problem(
                    .fieldInvalid,
                    "the target is on the node's own network, where what is sent to it cannot be told from the rest",
                    field: "parameters.direction", hint: "what it sends can: egress")
            }
            filter = filter.of(target.facts.cgroup)
        }
        return [.shapeTraffic(TrafficLayer(direction: packets.direction, filter: filter, impairment: impairment))]
    }

    package static var canHitHost: Bool { true }

    package func reach(on target: TargetObservation) -> Reach {
        if target.facts.isHost { return .node }
        return target.isOnHostNetwork ? .container : reach
    }

    package func notes(on target: TargetObservation) -> [String] {
        if target.facts.isHost {
            return [
                "what containers send and receive by the host's interfaces is hit, too",
                "of a tunnel, as a VPN's, the outer packets are hit: who reaches the host through one has its port spared "
                    + "by `squalld --spare-port`",
            ]
        }
        return target.isOnHostNetwork
            ? ["the target is on the node's own network: only what its cgroup sends is hit"] : []
    }
}

extension TargetObservation {
    /// - Throws: `target-refused` for a target without a process.
    func refuseWithoutNetwork() throws(Problem) {
        guard facts.network != nil else {
            throw Problem(
                .targetRefused, "the target has no process, so no network namespace to act in", field: "target")
        }
    }
}

/// Which packets of the target.
package struct TrafficSelection: Sendable {
    package let direction: TrafficLayer.Direction
    package let filter: TrafficFilter
    /// As "outgoing packets (tcp; to port 443)".
    package let words: String

    package static let parameters = [
        Parameter(
            "direction", .choice(TrafficLayer.Direction.allCases.map(\.rawValue)),
            standard: .string(TrafficLayer.Direction.egress.rawValue),
            meaning: "packets that the target sends, that it receives, or both"),
        Parameter(
            "destinationIPs", .networks(most: 32), meaning: "only packets whose other end has one of these addresses"),
        Parameter(
            "destinationHosts", .hosts(most: 16),
            meaning: "only packets whose other end has an address of one of these names, as the target looks them up"),
        Parameter("destinationPorts", .ports(most: 16), meaning: "only packets whose other end has one of these ports"),
        Parameter(
            "sourcePorts", .ports(most: 16), meaning: "only packets whose own end, the target, has one of these ports"),
        Parameter(
            "protocol", .choice(TrafficBox.Transport.allCases.map(\.rawValue)),
            meaning: "only packets of this one; with ports, both that have them unless told"),
        Parameter(
            "interfaces", .names(most: 16),
            meaning: "only packets through these interfaces of the target; all that are up but loopback unless told"),
    ]

    /// - Throws: `field-invalid` for ports of a protocol without them, and when it makes too many filters.
    package init(_ values: ParameterValues) throws(Problem) {
        direction = TrafficLayer.Direction(rawValue: values.text("direction")) ?? .egress
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
        let hosts = values.optionalHosts("destinationHosts").map { Set($0).sorted { "\($0)" < "\($1)" } }
        // One list for each dimension, in which nil is any.
        let anyEnd: [(family: TrafficBox.Family, network: IPNetwork?)] = TrafficBox.Family.allCases.map { ($0, nil) }
        let namedEnds: [(family: TrafficBox.Family, network: IPNetwork?)]? = networks?.map {
            ($0.isIPv4 ? .ipv4 : .ipv6, $0)
        }
        let ends = namedEnds ?? (hosts == nil ? anyEnd : [])
        let transports = Self.orAny(
            transport.map { [$0] } ?? (hasPorts ? TrafficBox.Transport.allCases.filter(\.hasPorts) : nil))
        let sources = Self.orAny(sourcePorts?.flatMap(\.blocks))
        let destinations = Self.orAny(destinationPorts?.flatMap(\.blocks))
        let interfaces = Self.orAny(values.optionalNames("interfaces").map { Set($0).sorted() })
        let directions = direction == .both ? 2 : 1
        // Of each name at least one address.
        let perEnd = directions * interfaces.count * transports.count * sources.count * destinations.count
        let count = perEnd * (ends.count + (hosts?.count ?? 0))
        if count > TrafficLayer.mostBoxes {
            throw Problem(
                .fieldInvalid, "these addresses, ports and protocols make \(count) filters",
                field: "parameters",
                hint: "at most \(TrafficLayer.mostBoxes): name networks, and ranges that begin and end evenly")
        }
        let ports = sources.flatMap { source in destinations.map { (source: source, destination: $0) } }
        func boxes(_ ends: [(family: TrafficBox.Family, network: IPNetwork?)]) -> Set<TrafficBox> {
            Set(
                ends.flatMap { end in
                    transports.flatMap { transport in
                        interfaces.flatMap { interface in
                            ports.map {
                                TrafficBox(
                                    family: end.family, interface: interface, destination: end.network,
                                    transport: transport, sourcePorts: $0.source, destinationPorts: $0.destination)
                            }
                        }
                    }
                })
        }
        filter = TrafficFilter(boxes: boxes(ends), hosts: hosts.map { NamedHosts($0, templates: boxes(anyEnd)) })
        let (which, remote, own) =
            switch direction {
            case .egress: ("outgoing packets", "to", "from")
            case .ingress: ("incoming packets", "from", "to")
            case .both: ("packets both ways", "with", "own")
            }
        var parts = transport.map { [$0.rawValue] } ?? []
        let far = (networks ?? []).map(\.description) + (hosts ?? []).map(\.description)
        if !far.isEmpty { parts.append("\(remote) \(Self.list(far))") }
        if let destinationPorts { parts.append("\(remote) port \(Self.list(destinationPorts))") }
        if let sourcePorts { parts.append("\(own) port \(Self.list(sourcePorts))") }
        parts += values.optionalNames("interfaces").map { ["on \(Self.list($0))"] } ?? []
        words = which + (parts.isEmpty ? "" : " (\(parts.joined(separator: "; ")))")
    }

    private static func orAny<Value>(_ values: [Value]?) -> [Value?] {
        values?.map { $0 } ?? [nil]
    }

    private static func list(_ values: [some CustomStringConvertible]) -> String {
        values.map(\.description).joined(separator: ", ")
    }
}

/// A fault on a share of the packets.
package protocol PacketShareFault: TrafficFault {
    /// What is done to such packets, as "lose", and what they are then, as "are lost".
    static var words: (does: String, are: String) { get }
    static func impairment(_ chance: PacketChance) -> TrafficImpairment

    var chance: PacketChance { get }
}

extension PacketShareFault {
    package static var ownParameters: [Parameter] { shareParameters }

    static var shareParameters: [Parameter] {
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
        "\(Self.words.does) \(chance.percent) of \(packets.words)"
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
