internal import CNetlink

/// What a flower filter looks at in a packet, beside the EtherType of its place. What is nil may be anything.
package struct FlowerMatch: Hashable, Sendable {
    package let source: Prefix?
    package let destination: Prefix?
    /// As in the headers of IPv4 and IPv6: 6 is TCP, 17 is UDP.
    package let ipProtocol: UInt8?
    package let sourcePorts: Ports?
    package let destinationPorts: Ports?
    package let icmpTypes: ICMPTypes?
    package let icmpCode: UInt8?

    /// All packets of the EtherType.
    package static let everything = FlowerMatch()

    /// - Parameters: Ports only with TCP or UDP, types and a code only with ICMP or ICMPv6, as the kernel wants it.
    package init(
        source: Prefix? = nil, destination: Prefix? = nil, ipProtocol: UInt8? = nil, sourcePorts: Ports? = nil,
        destinationPorts: Ports? = nil, icmpTypes: ICMPTypes? = nil, icmpCode: UInt8? = nil
    ) {
        precondition(
            sourcePorts == nil && destinationPorts == nil || ipProtocol.flatMap(PortKeys.init) != nil,
            "ports without a protocol that has them")
        precondition(
            icmpTypes == nil && icmpCode == nil || ipProtocol.flatMap(ICMPKeys.init) != nil,
            "types without a protocol that has them")
        self.source = source
        self.destination = destination
        self.ipProtocol = ipProtocol
        self.sourcePorts = sourcePorts
        self.destinationPorts = destinationPorts
        self.icmpTypes = icmpTypes
        self.icmpCode = icmpCode
    }

    package static let icmpv4: UInt8 = 1
    package static let icmpv6: UInt8 = 58

    /// All numbers that begin with the same bits, by value and mask.
    package struct Block<Number: FixedWidthInteger & UnsignedInteger & Sendable>: Hashable, Sendable {
        package let lowest: Number
        /// A power of two, up to half of all.
        package let count: Number

        package init(lowest: Number, count: Number) {
            precondition(count.nonzeroBitCount == 1 && lowest % count == 0, "numbers that have no mask")
            self.lowest = lowest
            self.count = count
        }

        fileprivate var mask: Number { ~(count - 1) }
    }

    /// Types of messages (RFC 792, RFC 4443).
    package typealias ICMPTypes = Block<UInt8>

    /// flower knows ranges of ports too, but many kernels match none whose packet has to have a single port at its other end.
    package typealias Ports = Block<UInt16>

    /// The first bits of an address of 4 or 16 bytes; the others are zero.
    package struct Prefix: Hashable, Sendable {
        package let address: [UInt8]
        package let length: Int

        /// - Parameter length: At least 1: the kernel keeps no mask that matches everything.
        package init(address: [UInt8], length: Int) {
            precondition(address.count == 4 || address.count == 16, "neither IPv4 nor IPv6")
            precondition((1...address.count * 8).contains(length), "a prefix of no such address")
            self.address = address
            self.length = length
        }

        fileprivate var mask: [UInt8] {
            address.indices.map { byte in
                let bits = min(max(length - byte * 8, 0), 8)
                return UInt8(truncatingIfNeeded: 0xFF00 >> bits)
            }
        }
    }
}

/// The attributes for the address of one end.
private struct AddressKeys {
    let ipv4: (key: Int, mask: Int)
    let ipv6: (key: Int, mask: Int)

    static let source = AddressKeys(
        ipv4: (TCA_FLOWER_KEY_IPV4_SRC, TCA_FLOWER_KEY_IPV4_SRC_MASK),
        ipv6: (TCA_FLOWER_KEY_IPV6_SRC, TCA_FLOWER_KEY_IPV6_SRC_MASK))
    static let destination = AddressKeys(
        ipv4: (TCA_FLOWER_KEY_IPV4_DST, TCA_FLOWER_KEY_IPV4_DST_MASK),
        ipv6: (TCA_FLOWER_KEY_IPV6_DST, TCA_FLOWER_KEY_IPV6_DST_MASK))
}

/// The attributes for one protocol's ports.
private struct PortKeys {
    let source: (key: Int, mask: Int)
    let destination: (key: Int, mask: Int)

    init?(_ ipProtocol: UInt8) {
        switch ipProtocol {
        case 6:
            source = (TCA_FLOWER_KEY_TCP_SRC, TCA_FLOWER_KEY_TCP_SRC_MASK)
            destination = (TCA_FLOWER_KEY_TCP_DST, TCA_FLOWER_KEY_TCP_DST_MASK)
        case 17:
            source = (TCA_FLOWER_KEY_UDP_SRC, TCA_FLOWER_KEY_UDP_SRC_MASK)
            destination = (TCA_FLOWER_KEY_UDP_DST, TCA_FLOWER_KEY_UDP_DST_MASK)
        default: return nil
        }
    }
}

/// The attributes for the messages of ICMP, or of ICMPv6.
private struct ICMPKeys {
    let type: (key: Int, mask: Int)
    let code: (key: Int, mask: Int)

    init?(_ ipProtocol: UInt8) {
        switch ipProtocol {
        case FlowerMatch.icmpv4:
            type = (TCA_FLOWER_KEY_ICMPV4_TYPE, TCA_FLOWER_KEY_ICMPV4_TYPE_MASK)
            code = (TCA_FLOWER_KEY_ICMPV4_CODE, TCA_FLOWER_KEY_ICMPV4_CODE_MASK)
        case FlowerMatch.icmpv6:
            type = (TCA_FLOWER_KEY_ICMPV6_TYPE, TCA_FLOWER_KEY_ICMPV6_TYPE_MASK)
            code = (TCA_FLOWER_KEY_ICMPV6_CODE, TCA_FLOWER_KEY_ICMPV6_CODE_MASK)
        default: return nil
        }
    }
}

extension FlowerMatch {
    func write(to request: borrowing NetlinkRequest) {
        for (prefix, keys) in [(source, AddressKeys.source), (destination, .destination)] {
            guard let prefix else { continue }
            let (key, mask) = prefix.address.count == 4 ? keys.ipv4 : keys.ipv6
            request.put(key, bytes: prefix.address)
            request.put(mask, bytes: prefix.mask)
        }
        guard let ipProtocol else { return }
        request.put(TCA_FLOWER_KEY_IP_PROTO, ipProtocol)
        if let keys = ICMPKeys(ipProtocol) {
            if let icmpTypes {
                request.put(keys.type.key, icmpTypes.lowest)
                request.put(keys.type.mask, icmpTypes.mask)
            }
            if let icmpCode {
                request.put(keys.code.key, icmpCode)
                request.put(keys.code.mask, UInt8.max)
            }
        }
        guard let keys = PortKeys(ipProtocol) else { return }
        for (ports, keys) in [(sourcePorts, keys.source), (destinationPorts, keys.destination)] {
            guard let ports else { continue }
            request.put(keys.key, ports.lowest.bigEndian)
            request.put(keys.mask, ports.mask.bigEndian)
        }
    }

    /// Nil for a filter that looks at anything else too.
    init?(_ options: NetlinkAttributes) {
        var left = options.types.subtracting(Self.attributesThatMatchNothing)
        guard left.remove(TCA_FLOWER_KEY_ETH_TYPE) != nil else { return nil }

        var prefixes: [Prefix?] = []
        for keys in [AddressKeys.source, .destination] {
            guard let (key, mask) = [keys.ipv4, keys.ipv6].first(where: { left.contains($0.key) }) else {
                prefixes.append(nil)
                continue
            }
            guard let prefix = Self.prefix(options.bytes(key), mask: options.bytes(mask)) else { return nil }
            prefixes.append(prefix)
            left.subtract([key, mask])
        }

        let ipProtocol = options.value(TCA_FLOWER_KEY_IP_PROTO, as: UInt8.self)
        left.remove(TCA_FLOWER_KEY_IP_PROTO)
        var ports: [Ports?] = []
        for keys in ipProtocol.flatMap(PortKeys.init).map({ [$0.source, $0.destination] }) ?? [] {
            guard left.contains(keys.key) else {
                ports.append(nil)
                continue
            }
            guard let block = Self.ports(options.port(keys.key), mask: options.port(keys.mask)) else { return nil }
            ports.append(block)
            left.subtract([keys.key, keys.mask])
        }
        var icmpTypes: ICMPTypes?
        var icmpCode: UInt8?
        if let keys = ipProtocol.flatMap(ICMPKeys.init) {
            if left.remove(keys.type.key) != nil {
                guard let lowest = options.value(keys.type.key, as: UInt8.self),
                    let mask = options.value(keys.type.mask, as: UInt8.self), mask > 0,
                    case let count = ~mask &+ 1, count.nonzeroBitCount == 1, lowest & ~mask == 0
                else { return nil }
                left.remove(keys.type.mask)
                icmpTypes = ICMPTypes(lowest: lowest, count: count)
            }
            if left.remove(keys.code.key) != nil {
                guard let code = options.value(keys.code.key, as: UInt8.self),
                    options.value(keys.code.mask, as: UInt8.self) == UInt8.max
                else { return nil }
                left.remove(keys.code.mask)
                icmpCode = code
            }
        }
        guard left.isEmpty else { return nil }
        self.init(
            source: prefixes[0], destination: prefixes[1], ipProtocol: ipProtocol, sourcePorts: ports.first ?? nil,
            destinationPorts: ports.last ?? nil, icmpTypes: icmpTypes, icmpCode: icmpCode)
    }

    private static let attributesThatMatchNothing: Set<Int> = [
        TCA_FLOWER_ACT, TCA_FLOWER_FLAGS, TCA_FLOWER_IN_HW_COUNT,
    ]

    private static func prefix(_ address: [UInt8]?, mask: [UInt8]?) -> Prefix? {
        guard let address, let mask, address.count == 4 || address.count == 16, mask.count == address.count else {
            return nil
        }
        let length = mask.reduce(0) { $0 + $1.nonzeroBitCount }
        guard length > 0 else { return nil }
        let prefix = Prefix(address: address, length: length)
        return prefix.mask == mask ? prefix : nil
    }

    private static func ports(_ lowest: UInt16?, mask: UInt16?) -> Ports? {
        guard let lowest, let mask, mask > 0 else { return nil }
        let count = ~mask &+ 1
        guard count.nonzeroBitCount == 1, lowest & ~mask == 0 else { return nil }
        return Ports(lowest: lowest, count: count)
    }
}

extension NetlinkAttributes {
    fileprivate func port(_ attribute: Int) -> UInt16? { value(attribute, as: UInt16.self)?.byteSwapped }
}
