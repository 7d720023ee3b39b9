internal import Netlink

/// Packets that no layer is about, whatever it says.
struct TrafficExclusion: Hashable, CustomStringConvertible {
    /// All of them are in it.
    let box: TrafficBox
    let match: FlowerMatch
    let description: String

    private init(_ box: TrafficBox, match: FlowerMatch, description: String) {
        self.box = box
        self.match = match
        self.description = description
    }

    /// What is to or from an endpoint that is excluded, and what networks say of themselves, each way.
    static func all(of base: TrafficBase) -> [TrafficExclusion] {
        [TrafficBox.Direction.egress, .ingress].flatMap { direction in
            base.excluded.map { endpoint in
                let box = endpoint.box(direction)
                return TrafficExclusion(box, match: box.match, description: "\(box)")
            } + neighbours(direction) + packetSizes(direction)
        }
    }

    /// Types 133 to 137 (RFC 4861), which do in IPv6 the work of ARP, and 130 to 132 and 143 (RFC 2710, RFC 3810): where a
    /// switch heeds these, no neighbour's question comes to whoever has not said what groups it is in. One mask takes in
    /// 138 to 142 too, which hardly anybody sends.
    private static func neighbours(_ direction: TrafficBox.Direction) -> [TrafficExclusion] {
        let blocks = [
            FlowerMatch.ICMPTypes(lowest: 130, count: 2), FlowerMatch.ICMPTypes(lowest: 132, count: 4),
            FlowerMatch.ICMPTypes(lowest: 136, count: 8),
        ]
        return blocks.map {
            TrafficExclusion(
                direction, .ipv6, types: $0,
                description: "neighbour discovery of types \($0.lowest) to \($0.lowest + $0.count - 1)")
        }
    }

    /// "Packet too big" (RFC 8201), and in IPv4 "fragmentation needed" (RFC 1191): where the way takes only smaller packets,
    /// connections hang without them, also those that are spared.
    private static func packetSizes(_ direction: TrafficBox.Direction) -> [TrafficExclusion] {
        [
            TrafficExclusion(
                direction, .ipv6, types: FlowerMatch.ICMPTypes(lowest: 2, count: 1),
                description: "packet too big, of ICMPv6"),
            TrafficExclusion(
                direction, .ipv4, types: FlowerMatch.ICMPTypes(lowest: 3, count: 1), code: 4,
                description: "fragmentation needed, of ICMP"),
        ]
    }

    private init(
        _ direction: TrafficBox.Direction, _ family: TrafficBox.Family, types: FlowerMatch.ICMPTypes,
        code: UInt8? = nil, description: String
    ) {
        let number = family == .ipv4 ? FlowerMatch.icmpv4 : FlowerMatch.icmpv6
        self.init(
            TrafficBox(direction: direction, family: family, transport: .icmp),
            match: FlowerMatch(ipProtocol: number, icmpTypes: types, icmpCode: code), description: description)
    }
}
