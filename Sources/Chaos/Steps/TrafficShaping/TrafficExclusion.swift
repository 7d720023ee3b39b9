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

    /// What is to or from an endpoint that is excluded, and what in IPv6 does the work of ARP, each way.
    static func all(of base: TrafficBase) -> [TrafficExclusion] {
        [TrafficBox.Direction.egress, .ingress].flatMap { direction in
            base.excluded.map { endpoint in
                let box = endpoint.box(direction)
                return TrafficExclusion(box, match: box.match, description: "\(box)")
            } + neighbours(direction)
        }
    }

    /// Types 133 to 137 (RFC 4861), and 132, by which nodes leave a multicast group.
    private static func neighbours(_ direction: TrafficBox.Direction) -> [TrafficExclusion] {
        let box = TrafficBox(direction: direction, family: .ipv6, transport: .icmp)
        return [FlowerMatch.ICMPTypes(lowest: 132, count: 4), FlowerMatch.ICMPTypes(lowest: 136, count: 2)].map {
            TrafficExclusion(
                box, match: FlowerMatch(ipProtocol: FlowerMatch.icmpv6, icmpTypes: $0),
                description: "neighbour discovery of types \($0.lowest) to \($0.lowest + $0.count - 1)")
        }
    }
}
