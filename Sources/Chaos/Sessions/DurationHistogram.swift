import ChaosModel
import LinuxSystem

/// How often something took how long, as Prometheus counts it.
package struct DurationHistogram: Sendable {
    /// Upper bounds, in seconds. What is above the last is counted beyond them.
    package static let bounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

    /// By bound, those within it and above the one before.
    private var counts = [Int](repeating: 0, count: bounds.count + 1)
    package private(set) var seconds = 0.0

    package init() {}

    package mutating func observe(_ duration: Duration) {
        let value = max(0, duration.seconds)
        counts[Self.bounds.firstIndex { value <= $0 } ?? Self.bounds.count] += 1
        seconds += value
    }

    package var count: Int { counts.reduce(0, +) }

    /// How many were within each bound, as it is counted by all that are not above it.
    package var cumulative: [(bound: Double, count: Int)] {
        var sum = 0
        return zip(Self.bounds, counts).map { bound, count in
            sum += count
            return (bound, sum)
        }
    }
}
