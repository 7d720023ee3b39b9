package import ChaosModel
internal import Glibc
internal import LinuxSystem
package import Netlink

/// A part of each packet's delay that is drawn at random.
package enum DelaySpread: Hashable, Sendable {
    /// From a normal distribution around nothing, with this standard deviation. What lies beyond four of them is cut.
    case normal(deviation: Duration)
    /// This share of the packets waits so much longer than the others.
    case hold(Percentage, for: Duration)

    package var isHold: Bool {
        if case .hold = self { return true }
        return false
    }

    /// The most that it adds.
    fileprivate var greatest: Duration {
        switch self {
        case .normal(let deviation): deviation * Self.mostDeviations
        case .hold(_, let delay): delay
        }
    }

    private static let mostDeviations = 4

    /// Which value the share `rank` of all draws does not exceed, as a part of `greatest`.
    fileprivate func quantile(_ rank: Double) -> Double {
        switch self {
        case .normal:
            let most = Double(Self.mostDeviations)
            let quantile = standardNormalQuantiles[Int(rank * Double(standardNormalQuantiles.count))]
            return min(max(quantile, -most), most) / most
        case .hold(let share, _): return rank < share.fraction ? 1 : 0
        }
    }
}

extension TrafficImpairment {
    /// How far a packet's delay may lie from its latency.
    var greatestDeviation: Duration { spreads.map(\.greatest).reduce(jitter, +) }

    /// How delays lie within `greatestDeviation`; nil is evenly.
    ///
    /// The distribution of a sum of independent draws, by a sequence whose points fill the unit cube evenly: Kronecker's,
    /// of powers of the generalized golden ratio.
    package var delayTable: DelayTable? {
        if spreads.isEmpty { return nil }
        let count = DelayTable.mostDeviations
        let greatest = greatestDeviation.seconds
        let jitter = jitter.seconds / greatest
        let parts = spreads.map { (spread: $0, size: $0.greatest.seconds / greatest) }
        // Without jitter the first spread has the dimension that is exactly even.
        let first = jitter > 0 ? 1 : 0
        let steps = kroneckerSteps(first + parts.count - 1)
        let deviations = (0..<count).map { index in
            func rank(_ dimension: Int) -> Double {
                if dimension == 0 { return (Double(index) + 0.5) / Double(count) }
                return (0.5 + Double(index) * steps[dimension - 1]).truncatingRemainder(dividingBy: 1)
            }
            let even = jitter > 0 ? jitter * (2 * rank(0) - 1) : 0
            return parts.enumerated().reduce(even) { sum, part in
                sum + part.element.size * part.element.spread.quantile(rank(first + part.offset))
            }
        }
        return DelayTable(deviations)
    }
}

/// 1/g, 1/g², ... of the g > 1 with g^(n+1) = g + 1.
private func kroneckerSteps(_ count: Int) -> [Double] {
    var golden = 2.0
    for _ in 0..<64 { golden = pow(1 + golden, 1 / Double(count + 1)) }
    return (0..<count).map { pow(1 / golden, Double($0 + 1)) }
}

/// Of the normal distribution, where the middles of so many equal shares of all draws lie: the inverse of
/// Φ(x) = erfc(-x/√2)/2, by bisection.
private let standardNormalQuantiles: [Double] = (0..<DelayTable.mostDeviations).map { index in
    let rank = (Double(index) + 0.5) / Double(DelayTable.mostDeviations)
    var (low, high) = (-8.0, 8.0)
    for _ in 0..<40 {
        let middle = (low + high) / 2
        if erfc(-middle / 2.0.squareRoot()) / 2 < rank { low = middle } else { high = middle }
    }
    return (low + high) / 2
}

extension DelaySpread: Comparable {
    package static func < (left: Self, right: Self) -> Bool { left.order < right.order }

    private var order: (Int, Percentage, Duration) {
        switch self {
        case .normal(let deviation): (0, .whole, deviation)
        case .hold(let share, let delay): (1, share, delay)
        }
    }
}

extension DelaySpread: CustomStringConvertible {
    package var description: String {
        switch self {
        case .normal(let deviation): "vary delays by \(deviation.text), normally distributed"
        case .hold(let share, let delay): "hold \(share) back for \(delay.text)"
        }
    }
}

extension DelaySpread {
    var json: JSON {
        switch self {
        case .normal(let deviation): ["normal": .string(deviation.text)]
        case .hold(let share, let delay): ["hold": .string(delay.text), "percent": .number(share.value)]
        }
    }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        func duration(_ name: String) -> Duration? { json[name]?.stringValue.flatMap(Duration.init(text:)) }
        if json.only("normal") != nil, let deviation = duration("normal") {
            self = .normal(deviation: deviation)
        } else if json.only("hold", "percent") != nil, let delay = duration("hold"),
            let share = json["percent"]?.doubleValue.flatMap(Percentage.init)
        {
            self = .hold(share, for: delay)
        } else {
            return nil
        }
    }
}
