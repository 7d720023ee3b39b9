/// Ports from one to another, both included.
package struct PortRange: Hashable, Sendable, CustomStringConvertible {
    package let ports: ClosedRange<UInt16>

    /// Reads `443` and `8000-8080`. Nil for anything else, and for port 0, which nobody has.
    package init?(text: String) {
        guard let ports = ClosedRange(text: text), ports.lowerBound > 0 else { return nil }
        self.ports = ports
    }

    /// The fewest blocks that have these ports. Where it begins with 1 they have port 0 as well.
    package var blocks: [PortBlock] {
        var blocks: [PortBlock] = []
        var next = ports.lowerBound == 1 ? 0 : UInt32(ports.lowerBound)
        let end = UInt32(ports.upperBound) + 1
        while next < end {
            var size: UInt32 = 1
            while next % (size * 2) == 0, next + size * 2 <= end, size * 2 <= 1 << 16 { size *= 2 }
            blocks.append(PortBlock(lowest: UInt16(next), bits: size.trailingZeroBitCount))
            next += size
        }
        return blocks
    }

    package var description: String { ports.text }
}

/// All ports that begin with the same bits: two blocks are apart, or one is in the other.
package struct PortBlock: Hashable, Sendable, CustomStringConvertible {
    package let lowest: UInt16
    /// How many bits may be anything: 0 for a single port, 16 for all.
    package let bits: Int

    package init(lowest: UInt16, bits: Int) {
        precondition((0...16).contains(bits) && UInt32(lowest) % (1 << bits) == 0, "no block of ports")
        self.lowest = lowest
        self.bits = bits
    }

    /// Reads `443` and `8000-8063`. Nil for anything else.
    package init?(text: String) {
        guard let ports = ClosedRange(text: text), ports.count.nonzeroBitCount == 1,
            Int(ports.lowerBound) % ports.count == 0
        else { return nil }
        self.init(lowest: ports.lowerBound, bits: ports.count.trailingZeroBitCount)
    }

    package var isEverything: Bool { bits == 16 }

    package func contains(_ other: PortBlock) -> Bool {
        bits >= other.bits && lowest >> UInt16(bits) == other.lowest >> UInt16(bits)
    }

    package var description: String { (lowest...lowest + UInt16((1 << bits) - 1)).text }
}

extension ClosedRange<UInt16> {
    /// Reads `443` and `8000-8080`. Nil for anything else.
    fileprivate init?(text: String) {
        let bounds = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false).map { bound in
            bound.allSatisfy { $0.isASCII && $0.isNumber } ? UInt16(bound) : nil
        }
        guard let first = bounds.first, let lowest = first, let last = bounds.last, let highest = last,
            lowest <= highest
        else { return nil }
        self = lowest...highest
    }

    fileprivate var text: String { lowerBound == upperBound ? "\(lowerBound)" : "\(lowerBound)-\(upperBound)" }
}
