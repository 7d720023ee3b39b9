/// Quantities as people write them, bounded by type, so that no number travels without its unit.

/// A share of a whole, 0 to 100, to six decimal places.
package struct Percentage: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let value: Double

    package init?(_ value: Double) {
        guard value >= 0, value <= 100 else { return nil }
        self.value = value
    }

    /// What peers take of a limit when nobody says: 80 %.
    package static let standardShare = Percentage(unchecked: 80)
    /// What stays free of a disk when nobody says: 10 %.
    package static let standardReserve = Percentage(unchecked: 10)

    package static let none = Percentage(unchecked: 0)
    package static let whole = Percentage(unchecked: 100)

    private init(unchecked value: Double) { self.value = value }

    /// 0 to 1.
    package var fraction: Double { value / 100 }
    package var description: String { value == value.rounded() ? "\(Int(value))%" : "\(value)%" }
    /// That at least one of two independent events happens.
    package func or(_ other: Percentage) -> Percentage {
        Percentage(unchecked: 100 - (100 - value) * (100 - other.value) / 100)
    }

    package static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

extension Duration {
    /// Reads `500ms`, `1.5s`, `1m30s`, `2h`: numbers, each with one of the units `ns`, `us`, `ms`, `s`, `m`, `h`.
    /// Nil for anything else, for nothing, and beyond a thousand hours.
    package init?(text: String) {
        guard let total = Self.nanoseconds(in: text), total <= 3.6e15 else { return nil }
        self = .nanoseconds(Int64(total.rounded()))
    }

    /// Reads the same with `-` or `+` before it. Nil beyond a hundred thousand hours.
    package init?(signedText text: String) {
        let isNegative = text.hasPrefix("-")
        let length = isNegative || text.hasPrefix("+") ? String(text.dropFirst()) : text
        guard let total = Self.nanoseconds(in: length), total <= 3.6e17 else { return nil }
        self = .nanoseconds(Int64(total.rounded()) * (isNegative ? -1 : 1))
    }

    private static func nanoseconds(in text: String) -> Double? {
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
        return total
    }

    private static let nanosecondsPerUnit: [String: Double] = [
        "ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9, "m": 60e9, "h": 3600e9,
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

/// A number of bytes, 0 or more.
package struct ByteCount: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let value: Int64

    package init(_ value: Int64) {
        precondition(value >= 0, "a number of bytes is not negative")
        self.value = value
    }

    /// Reads `64MiB`, `1.5GiB`, `500MB`, and as Kubernetes writes them `64Mi`, `500M`: a number with one of the units
    /// `B`; `k`, `M`, `G`, `T` (powers of 1000); `Ki`, `Mi`, `Gi`, `Ti` (powers of 1024); `B` may follow each.
    /// Nil for anything else, without a unit too, and from 8 EiB on.
    package init?(text: String) {
        let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
        guard let number = Double(digits), let scale = Self.scale(of: text.dropFirst(digits.count)) else { return nil }
        let bytes = (number * Double(scale)).rounded()
        guard bytes < Double(Int64.max) else { return nil }
        self.init(Int64(bytes))
    }

    private static func scale(of unit: Substring) -> Int64? {
        if unit == "B" { return 1 }
        let unit = unit.hasSuffix("B") ? unit.dropLast() : unit
        for (index, prefix) in ["k", "M", "G", "T"].enumerated() {
            if unit == prefix || (unit == "K" && prefix == "k") { return power(of: 1000, index + 1) }
            if unit == prefix.uppercased() + "i" { return power(of: 1024, index + 1) }
        }
        return nil
    }

    private static func power(of base: Int64, _ exponent: Int) -> Int64 {
        (0..<exponent).reduce(1) { size, _ in size * base }
    }

    /// The shortest exact text that `init(text:)` reads back, as `64MiB`, `500MB`, `12345B`.
    package var text: String {
        for exponent in [4, 3, 2, 1] where value != 0 {
            let binary = Self.power(of: 1024, exponent)
            if value % binary == 0 { return "\(value / binary)\(["Ki", "Mi", "Gi", "Ti"][exponent - 1])B" }
            let decimal = Self.power(of: 1000, exponent)
            if value % decimal == 0 { return "\(value / decimal)\(["k", "M", "G", "T"][exponent - 1])B" }
        }
        return "\(value)B"
    }

    /// To three digits, for people: `1.21 GiB`.
    package var description: String {
        for (exponent, unit) in [(4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")] {
            let size = Self.power(of: 1024, exponent)
            guard value >= size else { continue }
            let hundredths = (Double(value) / Double(size) * 100).rounded() / 100
            if hundredths == hundredths.rounded() { return "\(Int64(hundredths)) \(unit)" }
            return "\(hundredths) \(unit)"
        }
        return "\(value) bytes"
    }

    package static func < (left: Self, right: Self) -> Bool { left.value < right.value }
}

/// Bits a second, 1 or more.
package struct BitRate: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let bitsPerSecond: Int64

    package init(_ bitsPerSecond: Int64) {
        precondition(bitsPerSecond > 0, "a rate lets something through")
        self.bitsPerSecond = bitsPerSecond
    }

    /// Reads `10Mbit`, `1.5Gbit`, `512kbit`, `8000bit`, with `/s` or without: powers of 1000, in either case but for
    /// `bit`. Nil for anything else; `Mbps` too, which is bits to some and bytes to others.
    package init?(text: String) {
        let text = text.hasSuffix("/s") ? text.dropLast(2) : Substring(text)
        guard text.hasSuffix("bit") else { return nil }
        var digits = text.dropLast(3)
        var scale = 1.0
        if let last = digits.last, let exponent = ["k", "m", "g"].firstIndex(of: last.lowercased()) {
            for _ in 0...exponent { scale *= 1000 }
            digits = digits.dropLast()
        }
        guard !digits.isEmpty, digits.allSatisfy({ $0.isASCII && ($0.isNumber || $0 == ".") }),
            let number = Double(digits), number * scale >= 1, number * scale <= 1e15
        else { return nil }
        self.init(Int64((number * scale).rounded()))
    }

    /// At least one.
    package var bytesPerSecond: Int64 { max(1, bitsPerSecond / 8) }

    /// The shortest exact text that `init(text:)` reads back, as `10Mbit`.
    package var text: String {
        for (scale, prefix) in [(Int64(1_000_000_000), "G"), (1_000_000, "M"), (1000, "k")]
        where bitsPerSecond % scale == 0 {
            return "\(bitsPerSecond / scale)\(prefix)bit"
        }
        return "\(bitsPerSecond)bit"
    }

    package var description: String { text + "/s" }

    package static func < (left: Self, right: Self) -> Bool { left.bitsPerSecond < right.bitsPerSecond }
}
