package import ChaosModel
internal import LinuxSystem
package import Netlink

/// What is done to packets.
package struct TrafficImpairment: Hashable, Sendable {
    package let latency: Duration
    /// Each packet is held for `latency` ± a part of this that is drawn evenly, and never less than not at all. Where
    /// it is not zero, packets overtake each other.
    package let jitter: Duration
    /// What else is drawn and added to that, in order.
    package let spreads: [DelaySpread]
    /// How much a packet's delay resembles the one before; nil where every draw is on its own.
    package let correlation: Percentage?
    package let loss: PacketChance?
    /// Losses that come in bursts. More than one are more than the kernel can do: see `contradiction`.
    package let bursts: [LossBursts]
    /// To be sent twice. Of two copies a loss takes one.
    package let duplication: PacketChance?
    /// Of a packet, to have one of its bits turned over.
    package let corruption: PacketChance?
    /// How fast packets leave at the most, headers included.
    package let rate: BitRate?

    /// - Parameters: Times are whole nanoseconds, not negative.
    package init(
        latency: Duration = .zero, jitter: Duration = .zero, spreads: [DelaySpread] = [],
        correlation: Percentage? = nil, loss: PacketChance? = nil, bursts: [LossBursts] = [],
        duplication: PacketChance? = nil, corruption: PacketChance? = nil, rate: BitRate? = nil
    ) {
        precondition(latency >= .zero && jitter >= .zero, "time does not run backwards")
        self.latency = latency
        self.jitter = jitter
        self.spreads = spreads.sorted()
        self.correlation = correlation
        self.loss = loss
        self.bursts = bursts.sorted()
        self.duplication = duplication
        self.corruption = corruption
        self.rate = rate
    }

    /// What a packet suffers that is hit by both: the same in whatever order impairments are combined.
    ///
    /// Latencies add up, since each session promised its own. Jitters add up as well: the sum of draws from ±a and ±b
    /// lies within ±(a+b), so nobody's range is cut. Other spreads are drawn each on its own. netem has one correlation,
    /// so the strongest of those that have jitter to correlate is taken. Chances are those of independent events, and
    /// the lowest rate is the rate of all.
    package func combined(with other: TrafficImpairment) -> TrafficImpairment {
        TrafficImpairment(
            latency: latency + other.latency, jitter: jitter + other.jitter, spreads: spreads + other.spreads,
            correlation: [self, other].filter { $0.jitter > .zero }.compactMap(\.correlation).max(),
            loss: PacketChance.either(loss, other.loss), bursts: bursts + other.bursts,
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
    /// Why one queue cannot do all of it; nil when it can.
    package var contradiction: String? {
        if bursts.count > 1 { return "losses in bursts, of two sessions" }
        if !bursts.isEmpty, loss?.correlation != nil { return "losses in bursts and other losses that are correlated" }
        if correlation != nil, !spreads.isEmpty {
            return "correlated delays, and others that are drawn from a table, of which the kernel correlates none"
        }
        if rate != nil, spreads.contains(where: \.isHold) {
            return "packets held back so that others overtake them, and a rate, behind which none overtakes another"
        }
        if greatestDeviation > Netem.maximumJitter {
            return "delays that vary by \(greatestDeviation.text), of which the kernel keeps 2.1 s"
        }
        return nil
    }

    /// The queue that does it, normalised as the kernel reads it back.
    package var netem: Netem {
        // Of two copies a loss takes one: where everything is to be lost there must be none.
        let duplication = loss?.percent == .whole ? nil : duplication
        return Netem(
            limit: limit, latency: latency, jitter: min(greatestDeviation, Netem.maximumJitter),
            latencyCorrelation: Self.share(correlation), loss: bursts.isEmpty ? Self.chance(loss) : .none,
            lossBursts: bursts.first.map { Self.lossBursts($0, and: loss?.percent) },
            duplication: Self.chance(duplication), corruption: Self.chance(corruption),
            rate: UInt64(rate?.bytesPerSecond ?? 0))
    }

    /// A loss beside them happens while the line is good and while it is bad.
    private static func lossBursts(_ bursts: LossBursts, and loss: Percentage?) -> Netem.LossBursts {
        func share(_ own: Percentage) -> UInt32 { self.share(loss.map(own.or) ?? own) }
        return Netem.LossBursts(
            toBad: self.share(bursts.toBad), toGood: self.share(bursts.toGood),
            lossWhileBad: share(bursts.lossWhileBad), lossWhileGood: share(bursts.lossWhileGood))
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
        let delay = (latency + greatestDeviation).seconds
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
            ("spreads", spreads.isEmpty ? nil : .array(spreads.map(\.json))),
            ("correlation", correlation.map { .number($0.value) }), ("loss", loss?.json),
            ("bursts", bursts.isEmpty ? nil : .array(bursts.map(\.json))),
            ("duplication", duplication?.json), ("corruption", corruption?.json),
            ("rate", rate.map { .string($0.text) }),
        ])
    }

    /// Nil for anything that `json` cannot have made.
    package init?(_ json: JSON) {
        guard
            let json = json.only(
                "latency", "jitter", "spreads", "correlation", "loss", "bursts", "duplication", "corruption", "rate"),
            let latency = json["latency"]?.stringValue.flatMap(Duration.init(text:)),
            let jitter = json["jitter"]?.stringValue.flatMap(Duration.init(text:)),
            let spreads = json.optional("spreads", { $0.all(DelaySpread.init) }),
            let correlation = json.optional("correlation", { $0.doubleValue.flatMap(Percentage.init) }),
            let loss = json.optional("loss", PacketChance.init),
            let bursts = json.optional("bursts", { $0.all(LossBursts.init) }),
            let duplication = json.optional("duplication", PacketChance.init),
            let corruption = json.optional("corruption", PacketChance.init),
            let rate = json.optional("rate", { $0.stringValue.flatMap(BitRate.init(text:)) })
        else { return nil }
        self.init(
            latency: latency, jitter: jitter, spreads: spreads ?? [], correlation: correlation, loss: loss,
            bursts: bursts ?? [], duplication: duplication, corruption: corruption, rate: rate)
    }
}

extension JSON {
    /// What a list says whose every element makes sense; nil for anything else.
    fileprivate func all<Value>(_ read: (JSON) -> Value?) -> [Value]? {
        guard let elements = arrayValue else { return nil }
        let values = elements.compactMap(read)
        return values.count == elements.count ? values : nil
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
