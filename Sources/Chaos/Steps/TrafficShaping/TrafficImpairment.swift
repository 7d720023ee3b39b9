package import ChaosModel
internal import LinuxSystem
package import Netlink

/// What is done to packets.
package struct TrafficImpairment: Hashable, Sendable {
    package let latency: Duration
    /// Each packet is held for `latency` ± a part of this that is drawn evenly, and never less than not at all. Where
    /// it is not zero, packets overtake each other.
    package let jitter: Duration
    /// How much a packet's delay resembles the one before; nil where every draw is on its own.
    package let correlation: Percentage?

    /// - Parameters: Whole nanoseconds, not negative.
    package init(latency: Duration, jitter: Duration = .zero, correlation: Percentage? = nil) {
        precondition(latency >= .zero && jitter >= .zero, "time does not run backwards")
        self.latency = latency
        self.jitter = jitter
        self.correlation = correlation
    }

    /// What a packet suffers that is hit by both: the same in whatever order impairments are combined.
    ///
    /// Latencies add up, since each session promised its own. Jitters add up as well: the sum of draws from ±a and ±b
    /// lies within ±(a+b), so nobody's range is cut. netem has one correlation, so the strongest of those that have
    /// jitter to correlate is taken.
    package func combined(with other: TrafficImpairment) -> TrafficImpairment {
        TrafficImpairment(
            latency: latency + other.latency, jitter: jitter + other.jitter,
            correlation: [self, other].filter { $0.jitter > .zero }.compactMap(\.correlation).max())
    }
}

extension TrafficImpairment {
    /// The queue that does it, normalised as the kernel reads it back.
    package var netem: Netem {
        Netem(
            limit: Self.limit(holding: latency + jitter), latency: latency, jitter: min(jitter, Netem.maximumJitter),
            latencyCorrelation: UInt32(((correlation?.fraction ?? 0) * Double(UInt32.max)).rounded()))
    }

    /// A queue shorter than packets a second times delay would drop what it should only hold. 100,000 packets a second
    /// are 1 Gbit/s of full frames, and more with segmentation offload. A hundred thousand packets are the most that a
    /// queue may hold, about 250 MB of the node's memory in full frames: no container's limit counts them.
    private static func limit(holding delay: Duration) -> UInt32 {
        UInt32(min(max(delay.seconds * 100_000, 10_000), 100_000).rounded(.up))
    }
}

extension TrafficImpairment {
    package var json: JSON {
        .object([
            ("latency", .string(latency.text)), ("jitter", .string(jitter.text)),
            ("correlation", correlation.map { .number($0.value) }),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard let json = json.only("latency", "jitter", "correlation"),
            let latency = json["latency"]?.stringValue.flatMap(Duration.init(text:)),
            let jitter = json["jitter"]?.stringValue.flatMap(Duration.init(text:))
        else { return nil }
        let correlation = json["correlation"]?.doubleValue.flatMap(Percentage.init)
        if json["correlation"] != nil, correlation == nil { return nil }
        self.init(latency: latency, jitter: jitter, correlation: correlation)
    }
}
