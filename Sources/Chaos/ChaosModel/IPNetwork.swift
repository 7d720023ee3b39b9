internal import Glibc
package import LinuxSystem

/// An IPv4 or IPv6 address, or all that begin with the same bits.
package struct IPNetwork: Hashable, Sendable, CustomStringConvertible {
    /// 4 or 16 bytes, zero beyond the prefix.
    package let address: [UInt8]
    /// Bits: 0 for all addresses of the family, 32 or 128 for a single one.
    package let prefixLength: Int

    private init(address: [UInt8], prefixLength: Int) {
        self.address = address
        self.prefixLength = prefixLength
    }

    /// A single address.
    package init(of endpoint: InternetAddress) {
        self.init(address: endpoint.bytes, prefixLength: endpoint.bytes.count * 8)
    }

    package var isIPv4: Bool { address.count == 4 }
    package var isEverything: Bool { prefixLength == 0 }
    package var isSingleAddress: Bool { prefixLength == address.count * 8 }

    /// A single address, of 4 or 16 bytes. Nil for IPv4 addresses written as IPv6 ones, which no packet has.
    package init?(host address: [UInt8]) {
        guard address.count == 4 || address.count == 16, !Self.isMapped(address) else { return nil }
        self.init(address: address, prefixLength: address.count * 8)
    }

    /// Reads `10.0.0.7`, `10.1.0.0/16`, `fd00::/8` as inet_pton(3) does. Nil for anything else, where bits beyond the
    /// prefix are not zero, and for IPv4 addresses written as IPv6 ones, which no packet has.
    package init?(text: String) {
        // inet_pton reads no further than a zero byte.
        if text.utf8.contains(0) { return nil }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let address = Self.address(String(first)) else { return nil }
        var length = address.count * 8
        if parts.count == 2 {
            guard let given = Self.number(parts[1]), given <= length else { return nil }
            length = given
        }
        let hasBitsBeyond = (length..<address.count * 8).contains { Self.isSet($0, in: address) }
        if hasBitsBeyond || Self.isMapped(address) { return nil }
        self.init(address: address, prefixLength: length)
    }

    package func contains(_ other: IPNetwork) -> Bool {
        guard address.count == other.address.count, prefixLength <= other.prefixLength else { return false }
        let whole = prefixLength / 8
        guard address.prefix(whole) == other.address.prefix(whole) else { return false }
        let rest = prefixLength % 8
        return rest == 0 || (address[whole] ^ other.address[whole]) >> (8 - rest) == 0
    }

    package var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard inet_ntop(isIPv4 ? AF_INET : AF_INET6, address, &text, socklen_t(text.count)) != nil else {
            preconditionFailure("an address that inet_ntop does not know")
        }
        let written = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return prefixLength == address.count * 8 ? written : "\(written)/\(prefixLength)"
    }

    private static func address(_ text: String) -> [UInt8]? {
        for (family, size) in [(AF_INET, 4), (AF_INET6, 16)] {
            var bytes = [UInt8](repeating: 0, count: size)
            if inet_pton(family, text, &bytes) == 1 { return bytes }
        }
        return nil
    }

    private static func isMapped(_ address: [UInt8]) -> Bool {
        address.count == 16 && Array(address.prefix(12)) == [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF]
    }

    private static func isSet(_ bit: Int, in address: [UInt8]) -> Bool {
        let mask: UInt8 = 0x80 >> UInt8(bit % 8)
        return address[bit / 8] & mask != 0
    }

    private static func number(_ text: Substring) -> Int? {
        text.allSatisfy { $0.isASCII && $0.isNumber } && text.count <= 3 ? Int(text) : nil
    }
}
