import ChaosModel

/// Packets by which a host is reached and looked after: a layer on all of its traffic leaves them alone.
package struct SparedPackets: Hashable, Sendable {
    package let use: Use
    /// Of one transport and of ports, and of no direction: its ends are the same ones both ways.
    package let box: TrafficBox

    package enum Use: String, CaseIterable, Sendable {
        case ssh
        /// By which the agent serves.
        case agent
        /// Named by who runs the agent.
        case configured
        case dhcp
        case dns
    }

    fileprivate init(
        _ use: Use, _ family: TrafficBox.Family, _ transport: TrafficBox.Transport, ownPort: UInt16? = nil,
        otherPort: UInt16? = nil
    ) {
        self.use = use
        box = TrafficBox(
            family: family, transport: transport, sourcePorts: ownPort.map { PortBlock(lowest: $0, bits: 0) },
            destinationPorts: otherPort.map { PortBlock(lowest: $0, bits: 0) })
    }

    private init(_ use: Use, _ box: TrafficBox) {
        self.use = use
        self.box = box
    }
}

/// A port of a host's that is never hit with all of the host.
package struct SparedPort: Hashable, Sendable {
    package let use: SparedPackets.Use
    package let transport: TrafficBox.Transport
    package let number: UInt16

    /// - Parameter transport: One that has ports.
    package init(_ number: UInt16, _ transport: TrafficBox.Transport = .tcp, for use: SparedPackets.Use) {
        precondition(transport.hasPorts, "a port of a transport without ports")
        self.use = use
        self.transport = transport
        self.number = number
    }

    package static let ssh = SparedPort(22, for: .ssh)

    /// What the agent serves is at its own end only; by others the host may be reached through somebody to whom it has
    /// connected itself.
    fileprivate var packets: [SparedPackets] {
        TrafficBox.Family.allCases.flatMap { family in
            [SparedPackets(use, family, transport, ownPort: number)]
                + (use == .agent ? [] : [SparedPackets(use, family, transport, otherPort: number)])
        }
    }
}

extension SparedPackets {
    /// Of a host whose own ports are these, beside what every host needs to have an address and to find others.
    package static func all(with ports: [SparedPort]) -> Set<SparedPackets> {
        var all = Set(ports.flatMap(\.packets))
        all.insert(SparedPackets(.dhcp, .ipv4, .udp, ownPort: 68, otherPort: 67))
        all.insert(SparedPackets(.dhcp, .ipv6, .udp, ownPort: 546, otherPort: 547))
        for family in TrafficBox.Family.allCases {
            for transport in TrafficBox.Transport.allCases where transport.hasPorts {
                for port: UInt16 in [53, 853] {
                    all.insert(SparedPackets(.dns, family, transport, otherPort: port))
                }
            }
        }
        return all
    }

    /// Whether a filter is about them in so many words: about their port, and not about a range that it is in.
    func isNamed(by filter: TrafficFilter) -> Bool {
        filter.anywhere.contains { $0.destinationPorts != nil && $0.destinationPorts == box.destinationPorts }
    }

    /// A packet's direction and all else aside.
    package func contains(_ other: TrafficBox) -> Bool { box.going(other.direction).contains(other) }

    func meet(_ other: TrafficBox) -> TrafficBox? { box.going(other.direction).meet(other) }
}

extension SparedPackets.Use {
    /// Whether a request that names them has them hit all the same.
    var canBeNamed: Bool { self == .dns }

    var words: String {
        switch self {
        case .ssh: "SSH"
        case .agent: "the agent's own API"
        case .configured: "spared by the agent's configuration"
        case .dhcp: "DHCP"
        case .dns: "DNS"
        }
    }
}

extension Set<SparedPackets> {
    /// As "tcp port 22 (SSH)", of those that are among these packets.
    func words(among boxes: Set<TrafficBox>) -> [String] {
        let met = filter { spared in boxes.contains { spared.meet($0) != nil } }
        return SparedPackets.Use.allCases.compactMap { use in
            let ports = met.filter { $0.use == use }.compactMap { spared in
                (spared.box.destinationPorts ?? spared.box.sourcePorts).map { (spared.box.transport, $0.lowest) }
            }
            if ports.isEmpty { return nil }
            // Whose ports these are everybody knows.
            if use == .dhcp { return use.words }
            let named = TrafficBox.Transport.allCases.compactMap { transport in
                let numbers = Set<UInt16>(ports.filter { $0.0 == transport }.map(\.1)).sorted()
                return numbers.isEmpty
                    ? nil : "\(transport.rawValue) port \(numbers.map(String.init).joined(separator: ", "))"
            }
            return "\(named.joined(separator: " and ")) (\(use.words))"
        }
    }
}

extension SparedPackets {
    var json: JSON { ["use": .string(use.rawValue), "packets": box.json] }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        guard let json = json.only("use", "packets"), let use = json["use"]?.stringValue.flatMap(Use.init),
            let box = json["packets"].flatMap(TrafficBox.init), box.transport?.hasPorts ?? false,
            box.sourcePorts != nil || box.destinationPorts != nil
        else { return nil }
        self.init(use, box)
    }
}

extension SparedPackets: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.use.rawValue, left.box) < (right.use.rawValue, right.box)
    }
}
