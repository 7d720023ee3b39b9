internal import ChaosModel
internal import LinuxSystem
internal import Netlink

/// One request to the kernel. Its description is the difference that it mends.
enum TrafficChange: Hashable {
    case addIFB(TrafficClass)
    case setUp(Link)
    case setNetem(TrafficImpairment, on: Link, instead: Qdisc?)
    case setAlias(String, on: Link)
    case addClsact(TrafficBase.Interface)
    case resetQueueLength(TrafficBase.Interface)
    case addCatchAll(TrafficBase.Interface)
    case exclude(TrafficExclusion, at: Filter.Place, handle: UInt32?, on: TrafficBase.Interface)
    case enter(TrafficEntrance, at: Filter.Place, on: TrafficBase.Interface)
    case redirect(TrafficBox, at: Filter.Place, to: Link, handle: UInt32?, on: TrafficBase.Interface)
    case letGo(TrafficBox, at: Filter.Place, handle: UInt32?, on: TrafficBase.Interface)
    case deleteFilter(Filter)
    case deleteIFB(Link)
    case deleteClsact(TrafficBase.Interface)
}

extension TrafficChange {
    /// - Parameter classifiers: Without them nothing is entered.
    func perform(through socket: NetlinkSocket, _ classifiers: CgroupClassifiers?) throws(NetlinkError) {
        switch self {
        case .addIFB(let wanted): try socket.addIFB(named: wanted.interfaceName)
        case .setUp(let link): try socket.setUp(link: link.index)
        case .setNetem(let impairment, let link, _):
            try socket.setNetem(impairment.netem, delays: impairment.delayTable, asRootOf: link.index)
        case .setAlias(let alias, let link): try socket.setAlias(alias, ofLink: link.index)
        case .addClsact(let interface): try socket.addClsact(to: interface.index)
        case .resetQueueLength(let interface):
            try socket.setTransmitQueueLength(interface.transmitQueueLength, ofLink: interface.index)
        case .addCatchAll(let interface):
            try socket.addMatchall(at: .catchAll(of: interface.index), action: .catchAll)
        case .exclude(let exclusion, let place, let handle, _):
            try socket.setFlower(at: place, matching: exclusion.match, handle: handle, action: .exclude)
        case .enter(let entrance, let place, _):
            guard let classifiers else {
                throw NetlinkError("RTM_NEWTFILTER", on: "cgroup \(entrance.cgroup.path)", errno: .notSupported)
            }
            try socket.addClassifier(
                of: entrance.cgroup.id, named: entrance.name, at: place, among: classifiers,
                action: .enter(entrance.chain))
        case .redirect(let box, let place, let link, let handle, _):
            try socket.setFlower(at: place, matching: box.match, handle: handle, action: .redirect(to: link))
        case .letGo(let box, let place, let handle, _):
            try socket.setFlower(at: place, matching: box.match, handle: handle, action: .exclude)
        case .deleteFilter(let filter): try socket.delete(filter)
        case .deleteIFB(let link): try socket.deleteLink(link.index)
        case .deleteClsact(let interface): try socket.deleteClsact(from: interface.index)
        }
    }
}

extension TrafficChange: CustomStringConvertible {
    var description: String {
        switch self {
        case .addIFB(let wanted): "\(wanted.interfaceName) is missing"
        case .setUp(let link): "\(link.name) is down"
        case .setNetem(let impairment, let link, let found):
            "\(link.name) has \(found.map(Self.text) ?? "no qdisc") instead of netem \(impairment.netem)"
        case .setAlias(let alias, let link):
            "\(link.name) has the alias \((link.alias ?? "").debugDescription) instead of \(alias.debugDescription)"
        case .addClsact(let interface): "\(interface.name) has no clsact"
        case .resetQueueLength(let interface):
            "\(interface.name) has another transmit queue length than \(interface.transmitQueueLength)"
        case .addCatchAll(let interface):
            "\(interface.name) lacks the filter at preference \(TrafficClass.catchAllPreference)"
        case .exclude(let exclusion, let place, let handle, let interface):
            "\(interface.name) \(handle == nil ? "lacks the" : "has another") filter at \(place.hook) preference "
                + "\(place.preference) that excludes \(exclusion)"
        case .enter(let entrance, let place, let interface):
            "\(interface.name) lacks the filter at \(place.hook) preference \(place.preference) for what cgroup "
                + "\(entrance.cgroup.path) sends"
        case .redirect(let box, let place, let link, let handle, let interface):
            "\(interface.name) \(handle == nil ? "lacks the" : "has another") filter at \(place.hook) preference "
                + "\(place.preference) that leads \(box) to \(link.name)"
        case .letGo(let box, let place, let handle, let interface):
            "\(interface.name) \(handle == nil ? "lacks the" : "has another") filter at \(place.hook) preference "
                + "\(place.preference) that spares \(box)"
        case .deleteFilter(let filter):
            "interface \(filter.place.interface) has a superfluous filter at \(filter.place.hook) preference "
                + "\(filter.place.preference)"
        case .deleteIFB(let link): "\(link.name) is still there"
        case .deleteClsact(let interface): "\(interface.name) still has clsact"
        }
    }

    private static func text(of found: Qdisc) -> String {
        found.kind + (found.netem.map { " \($0)" } ?? "")
    }
}

extension Filter.Place {
    static func catchAll(of interface: Int32) -> Filter.Place {
        Filter.Place(
            interface: interface, hook: .egress, preference: TrafficClass.catchAllPreference, etherType: .all)
    }

    /// - Parameter entrance: By which packets come to it; nil for the filters that all meet.
    init(of ranked: RankedBox, behind entrance: TrafficEntrance?, on interface: Int32) {
        self.init(
            interface: interface, hook: ranked.box.direction.hook, preference: ranked.preference,
            etherType: ranked.box.family.etherType, chain: entrance?.chain ?? 0)
    }

    init(_ entrance: TrafficEntrance, on interface: Int32) {
        self.init(
            interface: interface, hook: entrance.direction.hook,
            preference: TrafficClass.preferenceOfEntrance(entrance.cgroup), etherType: .all)
    }

    /// Of the filter that excludes a box.
    init(excluding box: TrafficBox, on interface: Int32) {
        self.init(
            interface: interface, hook: box.direction.hook,
            preference: TrafficClass.preferenceOfExclusion(box.family), etherType: box.family.etherType)
    }
}

extension TrafficBox {
    /// What its filter looks at beside the family, which is the place's.
    var match: FlowerMatch {
        let remote = destination.map { FlowerMatch.Prefix(address: $0.address, length: $0.prefixLength) }
        let (remotePorts, ownPorts) = (destinationPorts?.match, sourcePorts?.match)
        let ipProtocol = transport.map { $0.number(in: family) }
        return switch direction {
        case .egress:
            FlowerMatch(
                destination: remote, ipProtocol: ipProtocol, sourcePorts: ownPorts, destinationPorts: remotePorts)
        case .ingress:
            FlowerMatch(source: remote, ipProtocol: ipProtocol, sourcePorts: remotePorts, destinationPorts: ownPorts)
        }
    }
}

extension PortBlock {
    /// Never all ports: a box has no block then.
    fileprivate var match: FlowerMatch.Ports { FlowerMatch.Ports(lowest: lowest, count: 1 << UInt16(bits)) }
}

extension TrafficBox.Transport {
    fileprivate func number(in family: TrafficBox.Family) -> UInt8 {
        switch self {
        case .tcp: 6
        case .udp: 17
        case .icmp: family == .ipv4 ? 1 : 58
        }
    }
}

extension TrafficBox.Direction {
    fileprivate var hook: ClsactHook {
        switch self {
        case .egress: .egress
        case .ingress: .ingress
        }
    }
}

extension TrafficBox.Family {
    /// Frames with a VLAN tag have another one, so they are left alone.
    fileprivate var etherType: EtherType {
        switch self {
        case .ipv4: .ipv4
        case .ipv6: .ipv6
        }
    }
}
