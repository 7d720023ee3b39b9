package import ChaosModel

/// Which packets a layer is about: those that are in at least one of its boxes, which tell no direction: see
/// `TrafficLayer.boxes`.
package struct TrafficFilter: Hashable, Sendable {
    package let boxes: Set<TrafficBox>
    /// Those of them that name no host.
    let given: Set<TrafficBox>
    package let hosts: NamedHosts?

    /// - Parameter boxes: Not empty without hosts: a layer about nothing is a mistake.
    package init(boxes: Set<TrafficBox>, hosts: NamedHosts? = nil) {
        precondition(!boxes.isEmpty || hosts != nil, "a traffic filter without a box matches nothing")
        self.given = boxes
        self.hosts = hosts
        self.boxes = boxes.union(hosts?.boxes ?? [])
    }

    /// The same, of hosts that have these addresses by now.
    func found(at addresses: [HostName: [IPNetwork]]) -> TrafficFilter {
        TrafficFilter(boxes: given, hosts: hosts?.found(at: addresses))
    }

    /// Of these packets only those of a cgroup's processes, for a network that others are in, too.
    package func of(_ cgroup: TargetFacts.Cgroup) -> TrafficFilter {
        TrafficFilter(boxes: Set(given.map { $0.of(cgroup) }), hosts: hosts?.of(cgroup))
    }

    /// The cgroup whose packets alone it is about; nil where it is about all.
    var cgroup: TargetFacts.Cgroup? { anywhere.first?.cgroup }

    /// Its boxes, of hosts whatever their addresses are.
    var anywhere: Set<TrafficBox> { given.union(hosts?.templates ?? []) }

    /// All IPv4 and IPv6 packets. What is neither, as ARP, is never touched: without it no neighbour would be found.
    package static let everything = TrafficFilter(boxes: Set(TrafficBox.Family.allCases.map { TrafficBox(family: $0) }))
}

/// The packets that agree with a value in every dimension. Intersections of boxes are boxes again.
///
/// Its two ends are the same ones in both directions: of what the target receives, the destination is where it comes from.
package struct TrafficBox: Hashable, Sendable {
    package let direction: Direction
    package let family: Family
    /// The packets of processes in this cgroup and below it.
    package let cgroup: TargetFacts.Cgroup?
    /// By its name, where several have one.
    package let interface: String?
    /// Nil, as in all of these: any, which nothing else says.
    package let destination: IPNetwork?
    package let transport: Transport?
    package let sourcePorts: PortBlock?
    package let destinationPorts: PortBlock?

    /// As the target sees it.
    package enum Direction: String, Sendable {
        case egress
        case ingress
    }

    package enum Family: String, CaseIterable, Sendable {
        case ipv4
        case ipv6
    }

    package enum Transport: String, CaseIterable, Sendable {
        case tcp
        case udp
        /// ICMP, or ICMPv6.
        case icmp

        package var hasPorts: Bool { self != .icmp }
    }

    /// - Parameters:
    ///   - destination: Of the family.
    ///   - sourcePorts: Only with a transport that has ports, as the others.
    package init(
        direction: Direction = .egress, family: Family, cgroup: TargetFacts.Cgroup? = nil, interface: String? = nil,
        destination: IPNetwork? = nil, transport: Transport? = nil,
        sourcePorts: PortBlock? = nil, destinationPorts: PortBlock? = nil
    ) {
        precondition(destination.map { $0.isIPv4 == (family == .ipv4) } ?? true, "an address of another family")
        precondition(
            sourcePorts == nil && destinationPorts == nil || transport?.hasPorts ?? false,
            "ports without a transport that has them")
        self.direction = direction
        self.family = family
        self.cgroup = cgroup
        self.interface = interface
        self.destination = destination?.isEverything ?? true ? nil : destination
        self.transport = transport
        self.sourcePorts = sourcePorts?.isEverything ?? true ? nil : sourcePorts
        self.destinationPorts = destinationPorts?.isEverything ?? true ? nil : destinationPorts
    }

    /// The same, in a direction.
    package func going(_ direction: Direction) -> TrafficBox { with(direction: direction) }

    /// The same, to or from an address of the family.
    func going(to destination: IPNetwork) -> TrafficBox { with(destination: destination) }

    /// Those of them that are of a cgroup's processes.
    func of(_ cgroup: TargetFacts.Cgroup) -> TrafficBox { with(cgroup: cgroup) }

    private func with(
        direction: Direction? = nil, cgroup: TargetFacts.Cgroup? = nil, destination: IPNetwork? = nil
    ) -> TrafficBox {
        TrafficBox(
            direction: direction ?? self.direction, family: family, cgroup: cgroup ?? self.cgroup, interface: interface,
            destination: destination ?? self.destination, transport: transport, sourcePorts: sourcePorts,
            destinationPorts: destinationPorts)
    }

    /// The packets that are in both; nil when there can be none.
    package func meet(_ other: TrafficBox) -> TrafficBox? {
        guard direction == other.direction, family == other.family,
            case .some(let cgroup) = Self.inner(cgroup, other.cgroup, { $0.contains($1) }),
            case .some(let interface) = Self.inner(interface, other.interface, ==),
            case .some(let destination) = Self.inner(destination, other.destination, { $0.contains($1) }),
            case .some(let transport) = Self.inner(transport, other.transport, ==),
            case .some(let sourcePorts) = Self.inner(sourcePorts, other.sourcePorts, { $0.contains($1) }),
            case .some(let destinationPorts) = Self.inner(
                destinationPorts, other.destinationPorts, { $0.contains($1) })
        else { return nil }
        return TrafficBox(
            direction: direction, family: family, cgroup: cgroup, interface: interface, destination: destination,
            transport: transport, sourcePorts: sourcePorts, destinationPorts: destinationPorts)
    }

    /// Of one dimension, in which two values are apart or one is in the other, that one: `.some(nil)` for any value, nil
    /// where they are apart.
    private static func inner<Value>(
        _ one: Value?, _ other: Value?, _ contains: (Value, Value) -> Bool
    ) -> Value?? {
        guard let one, let other else { return .some(one ?? other) }
        return contains(one, other) ? .some(other) : contains(other, one) ? .some(one) : nil
    }

    package func contains(_ other: TrafficBox) -> Bool { meet(other) == other }
}

extension TrafficBox: CustomStringConvertible {
    /// As `ipv4 tcp to 10.0.0.0/8 port 443`.
    package var description: String {
        let (remote, own) = direction == .egress ? ("to", "from") : ("from", "to")
        var words = [family.rawValue]
        if let transport { words.append(transport.rawValue) }
        if let sourcePorts { words.append("\(own) port \(sourcePorts)") }
        if destination != nil || destinationPorts != nil { words.append(remote) }
        if let destination { words.append("\(destination)") }
        if let destinationPorts { words.append("port \(destinationPorts)") }
        if let interface { words.append("on \(interface)") }
        if let cgroup { words.append("of cgroup \(cgroup.path)") }
        return words.joined(separator: " ")
    }
}

extension TrafficBox: Comparable {
    package static func < (left: Self, right: Self) -> Bool {
        (left.direction.rawValue, left.description) < (right.direction.rawValue, right.description)
    }
}

extension Set<TrafficBox> {
    /// As a person would say it, of the first few.
    var summary: String {
        let texts = sorted().map(\.description)
        let most = 4
        return texts.prefix(most).joined(separator: ", ")
            + (texts.count > most ? " and \(texts.count - most) more" : "")
    }
}

extension TrafficFilter {
    package var json: JSON {
        let boxes = JSON.array(given.sorted().map(\.json))
        return hosts.map { .object([("boxes", boxes), ("hosts", $0.json)]) } ?? boxes
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard let hosts = json.arrayValue == nil ? json["hosts"].map(NamedHosts.init) : .some(nil),
            let boxes = TrafficBox.set(json.only("boxes", "hosts")?["boxes"] ?? json),
            json.arrayValue == nil ? hosts != nil : !boxes.isEmpty
        else { return nil }
        self.init(boxes: boxes, hosts: hosts)
    }
}

extension TrafficBox {
    /// Nil for what is no list of boxes, each there once.
    static func set(_ json: JSON) -> Set<TrafficBox>? {
        guard let values = json.arrayValue else { return nil }
        let boxes = Set(values.compactMap(TrafficBox.init))
        return boxes.count == values.count ? boxes : nil
    }

    var json: JSON {
        .object([
            ("family", .string(family.rawValue)), ("cgroup", cgroup?.json), ("interface", interface.map(JSON.string)),
            ("destination", destination.map { .string($0.description) }),
            ("transport", transport.map { .string($0.rawValue) }),
            ("sourcePorts", sourcePorts.map { .string($0.description) }),
            ("destinationPorts", destinationPorts.map { .string($0.description) }),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        guard
            let json = json.only(
                "family", "cgroup", "interface", "destination", "transport", "sourcePorts", "destinationPorts"),
            let family = json["family"]?.stringValue.flatMap(Family.init),
            let cgroup = json.optional("cgroup", TargetFacts.Cgroup.init),
            let interface = json.optional("interface", \.stringValue),
            let destination = json.optional("destination", { $0.stringValue.flatMap(IPNetwork.init(text:)) }),
            let transport = json.optional("transport", { $0.stringValue.flatMap(Transport.init) }),
            let sources = json.optional("sourcePorts", { $0.stringValue.flatMap(PortBlock.init(text:)) }),
            let destinations = json.optional("destinationPorts", { $0.stringValue.flatMap(PortBlock.init(text:)) }),
            destination.map({ $0.isIPv4 == (family == .ipv4) }) ?? true,
            sources == nil && destinations == nil || transport?.hasPorts ?? false
        else { return nil }
        self.init(
            family: family, cgroup: cgroup, interface: interface, destination: destination, transport: transport,
            sourcePorts: sources, destinationPorts: destinations)
    }
}

extension TargetFacts.Cgroup {
    /// Whether the other one is this, or below it.
    func contains(_ other: TargetFacts.Cgroup) -> Bool { id == other.id || other.path.hasPrefix("\(path)/") }
}

extension JSON {
    /// This object, if it has no members but these.
    func only(_ names: String...) -> JSON? {
        guard let members, members.allSatisfy({ names.contains($0.name) }) else { return nil }
        return self
    }

    /// What a member says that may be missing. Nil when it is there and makes no sense.
    func optional<Value>(_ name: String, _ read: (JSON) -> Value?) -> Value?? {
        guard let member = self[name] else { return .some(nil) }
        return read(member).map { .some($0) }
    }
}
