/// Quantities as people write them, bounded by type, so that no number travels without its unit.

/// A share of a whole, 0 to 100, to six decimal places.
package struct Percentage: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let value: Double

    package init?(_ value: Double) {
        guard value >= 0, value <= 100 else { return nil }
        self.value = value
    }

    /// 0 to 1.
    package var fraction: Double { value / 100 }
    package var description: String { value == value.rounded() ? "\(Int(value))%" : "\(value)%" }
    package static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

extension Duration {
    /// Reads `500ms`, `1.5s`, `1m30s`, `2h`: numbers, each with one of the units `ns`, `us`, `ms`, `s`, `m`, `h`.
    /// Nil for anything else, for nothing, and beyond a thousand hours.
    package init?(text: String) {
        var rest = Substring(text)
        var total = 0.0
        guard !rest.isEmpty else { return nil }
        while !rest.isEmpty {
            let digits = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
            rest = rest.dropFirst(digits.count)
            let unit = rest.prefix { $0.isASCII && $0.isLetter }
            rest = rest.dropFirst(unit.count)
            guard let number = Double(digits), let scale = Self.nanosecondsPerUnit[String(unit)] else { return nil }
            total += number * scale
        }
        guard total <= 3.6e15 else { return nil }
        self = .nanoseconds(Int64(total.rounded()))
    }

    private static let nanosecondsPerUnit: [String: Double] = [
        "ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9,
    ]

    /// The shortest exact text that `init(text:)` reads back, as `100ms`, `1m30s`.
    package var text: String {
        var left = components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
        if left == 0 { return "0s" }
        var text = left < 0 ? "-" : ""
        left = abs(left)
        let units: [(String, Int64)] = [
            ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000),
            ("ns", 1),
        ]
        for (unit, size) in units where left >= size {
            text += "\(left / size)\(unit)"
            left %= size
        }
        return text
    }

    package var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
