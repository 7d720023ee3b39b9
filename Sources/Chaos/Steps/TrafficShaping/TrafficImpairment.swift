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
    package let loss: PacketChance?
    /// To be sent twice. Of two copies a loss takes one.
    package let duplication: PacketChance?
    /// Of a packet, to have one of its bits turned over.
    package let corruption: PacketChance?
    /// How fast packets leave at the most, headers included.
    package let rate: BitRate?

    /// - Parameters: Times are whole nanoseconds, not negative.
    package init(
        latency: Duration = .zero, jitter: Duration = .zero, correlation: Percentage? = nil, loss: PacketChance? = nil,
        duplication: PacketChance? = nil, corruption: PacketChance? = nil, rate: BitRate? = nil
    ) {
        precondition(latency >= .zero && jitter >= .zero, "time does not run backwards")
        self.latency = latency
        self.jitter = jitter
        self.correlation = correlation
        self.loss = loss
        self.duplication = duplication
        self.corruption = corruption
        self.rate = rate
    }

    /// What a packet suffers that is hit by both: the same in whatever order impairments are combined.
    ///
    /// Latencies add up, since each session promised its own. Jitters add up as well: the sum of draws from ±a and ±b
    /// lies within ±(a+b), so nobody's range is cut. netem has one correlation, so the strongest of those that have
    /// jitter to correlate is taken. Chances are those of independent events, and the lowest rate is the rate of all.
    package func combined(with other: TrafficImpairment) -> TrafficImpairment {
        TrafficImpairment(
            latency: latency + other.latency, jitter: jitter + other.jitter,
            correlation: [self, other].filter { $0.jitter > .zero }.compactMap(\.correlation).max(),
            loss: PacketChance.either(loss, other.loss),
            duplication: PacketChance.either(duplication, other.duplication),
            corruption: PacketChance.either(corruption, other.corruption),
            rate: [rate, other.rate].compactMap(\.self).min())
    }
}

/// How likely something is to happen to a packet.
package struct PacketChance: Hashable, Sendable {
    package let percent: Percentage
    /// How much each draw resembles the one before; nil where every draw is on its own.
    package let correlation: Percentage?

    package init(_ percent: Percentage, correlation: Percentage? = nil) {
        self.percent = percent
        self.correlation = correlation
    }

    /// That it happens for one reason or the other, or both.
    fileprivate static func either(_ one: PacketChance?, _ other: PacketChance?) -> PacketChance? {
        guard let one, let other else { return one ?? other }
        return PacketChance(
            one.percent.or(other.percent), correlation: [one, other].compactMap(\.correlation).max())
    }
}

extension TrafficImpairment {
    /// The queue that does it, normalised as the kernel reads it back.
    package var netem: Netem {
        // Of two copies a loss takes one: where everything is to be lost there must be none.
        let duplication = loss?.percent == .whole ? nil : duplication
        return Netem(
            limit: limit, latency: latency, jitter: min(jitter, Netem.maximumJitter),
            latencyCorrelation: Self.share(correlation), loss: Self.chance(loss), duplication: Self.chance(duplication),
            corruption: Self.chance(corruption), rate: UInt64(rate?.bytesPerSecond ?? 0))
    }

    private static func share(_ percentage: Percentage?) -> UInt32 {
        UInt32(((percentage?.fraction ?? 0) * Double(UInt32.max)).rounded())
    }

    private static func chance(_ chance: PacketChance?) -> Netem.Chance {
        Netem.Chance(probability: share(chance?.percent), correlation: share(chance?.correlation))
    }

    /// A queue shorter than packets a second times delay would drop what it should only hold. 100,000 packets a second
    /// are 1 Gbit/s of full frames, and more with segmentation offload. A hundred thousand packets are the most that a
    /// queue may hold, about 250 MB of the node's memory in full frames: no container's limit counts them.
    ///
    /// Behind a rate the queue is what a router has for half a second, so that a sender learns of it in time.
    private var limit: UInt32 {
        let delay = (latency + jitter).seconds
        let ample = min(max(delay * 100_000, 10_000), 100_000)
        guard let rate else { return UInt32(ample.rounded(.up)) }
        let frames = Double(rate.bytesPerSecond) / Self.fullFrame * (delay + 0.5)
        return UInt32(min(max(frames, 32), ample).rounded(.up))
    }

    /// Bytes of an Ethernet frame without its checksum.
    private static let fullFrame = 1514.0
}

extension TrafficImpairment {
    package var json: JSON {
        .object([
            ("latency", .string(latency.text)), ("jitter", .string(jitter.text)),
            ("correlation", correlation.map { .number($0.value) }), ("loss", loss?.json),
            ("duplication", duplication?.json), ("corruption", corruption?.json),
            ("rate", rate.map { .string($0.text) }),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard
            let json = json.only("latency", "jitter", "correlation", "loss", "duplication", "corruption", "rate"),
            let latency = json["latency"]?.stringValue.flatMap(Duration.init(text:)),
            let jitter = json["jitter"]?.stringValue.flatMap(Duration.init(text:)),
            let correlation = json.optional("correlation", { $0.doubleValue.flatMap(Percentage.init) }),
            let loss = json.optional("loss", PacketChance.init),
            let duplication = json.optional("duplication", PacketChance.init),
            let corruption = json.optional("corruption", PacketChance.init),
            let rate = json.optional("rate", { $0.stringValue.flatMap(BitRate.init(text:)) })
        else { return nil }
        self.init(
            latency: latency, jitter: jitter, correlation: correlation, loss: loss, duplication: duplication,
            corruption: corruption, rate: rate)
    }
}

extension PacketChance {
    fileprivate var json: JSON {
        .object([("percent", .number(percent.value)), ("correlation", correlation.map { .number($0.value) })])
    }

    fileprivate init?(_ json: JSON) {
        guard let json = json.only("percent", "correlation"),
            let percent = json["percent"]?.doubleValue.flatMap(Percentage.init),
            let correlation = json.optional("correlation", { $0.doubleValue.flatMap(Percentage.init) })
        else { return nil }
        self.init(percent, correlation: correlation)
    }
}
