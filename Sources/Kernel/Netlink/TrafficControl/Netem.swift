internal import CNetlink
internal import LinuxSystem

/// What the network emulator does to packets, in the kernel's own units, so that reading back gives what was written.
package struct Netem: Hashable, Sendable {
    /// How many packets it holds; what arrives beyond that is dropped.
    package var limit: UInt32
    package var latency: Duration
    /// Each packet's delay is drawn from `latency` ± `jitter`, so packets overtake each other where it is not zero: evenly,
    /// or as a `DelayTable` says, which the kernel does not show. It keeps at most `maximumJitter`.
    package var jitter: Duration
    /// How much a packet's delay resembles the one before: a share of `UInt32.max`.
    package var latencyCorrelation: UInt32
    package var loss: Chance
    /// Losses that come in bursts, instead of `loss`.
    package var lossBursts: LossBursts?
    /// To be sent twice. Of two copies a loss takes one.
    package var duplication: Chance
    /// Of a packet, to have one of its bits turned over.
    package var corruption: Chance
    /// Bytes a second, headers included; 0 is without a limit.
    package var rate: UInt64
    /// Settings found in the kernel that this type cannot say; writing sets them to nothing.
    package private(set) var unmodelled: Set<String> = []

    package static let maximumJitter: Duration = .nanoseconds(Int64(Int32.max))

    /// How likely something is to happen to a packet, as shares of `UInt32.max`.
    package struct Chance: Hashable, Sendable {
        package var probability: UInt32
        /// How much each draw resembles the one before.
        package var correlation: UInt32

        package static let none = Chance(probability: 0)

        package init(probability: UInt32, correlation: UInt32 = 0) {
            self.probability = probability
            self.correlation = correlation
        }
    }

    /// The model of Gilbert and Elliott: a line that is good or bad, and changes before each packet with some probability,
    /// all as shares of `UInt32.max`.
    package struct LossBursts: Hashable, Sendable {
        package var toBad: UInt32
        package var toGood: UInt32
        package var lossWhileBad: UInt32
        package var lossWhileGood: UInt32

        package init(toBad: UInt32, toGood: UInt32, lossWhileBad: UInt32, lossWhileGood: UInt32) {
            self.toBad = toBad
            self.toGood = toGood
            self.lossWhileBad = lossWhileBad
            self.lossWhileGood = lossWhileGood
        }
    }

    package init(
        limit: UInt32, latency: Duration = .zero, jitter: Duration = .zero, latencyCorrelation: UInt32 = 0,
        loss: Chance = .none, lossBursts: LossBursts? = nil, duplication: Chance = .none, corruption: Chance = .none,
        rate: UInt64 = 0
    ) {
        self.limit = limit
        self.latency = latency
        self.jitter = jitter
        self.latencyCorrelation = latencyCorrelation
        self.loss = loss
        self.lossBursts = lossBursts
        self.duplication = duplication
        self.corruption = corruption
        self.rate = rate
    }
}

/// How delays lie in latency ± jitter when it is not evenly.
package struct DelayTable: Sendable {
    /// Each delay is latency + jitter × one of these, drawn at random; all are -1 to 1.
    package let deviations: [Double]

    /// The most that the kernel takes.
    package static let mostDeviations = 16_384

    package init(_ deviations: [Double]) {
        precondition((1...Self.mostDeviations).contains(deviations.count), "the kernel takes 1 to 16384 values")
        self.deviations = deviations
    }

    /// `NETEM_DIST_SCALE` in the kernel.
    fileprivate static let scale = 8192.0

    var byteCount: Int { deviations.count * MemoryLayout<Int16>.size }

    fileprivate var bytes: [UInt8] {
        deviations.flatMap { deviation in
            withUnsafeBytes(of: Int16((deviation * Self.scale).rounded()), Array.init)
        }
    }
}

extension Netem.Chance: CustomStringConvertible {
    package var description: String {
        correlation == 0 ? Netem.percent(probability) : "\(Netem.percent(probability)) (\(Netem.percent(correlation)))"
    }
}

extension Netem.LossBursts: CustomStringConvertible {
    package var description: String {
        "\(Netem.percent(lossWhileBad)) while bad and \(Netem.percent(lossWhileGood)) while good, of which packets turn "
            + "\(Netem.percent(toBad)) to bad and \(Netem.percent(toGood)) to good"
    }
}

extension Netem: CustomStringConvertible {
    package var description: String {
        let chances = [("loss", loss), ("duplication", duplication), ("corruption", corruption)]
            .filter { $0.1 != .none }.map { " \($0.0) \($0.1)" }.joined()
        let bursts = lossBursts.map { " loss \($0)" } ?? ""
        let others = unmodelled.isEmpty ? "" : " and " + unmodelled.sorted().joined(separator: ", ")
        return "latency \(latency) jitter \(jitter) correlation \(Self.percent(latencyCorrelation))\(chances)\(bursts) "
            + (rate == 0 ? "" : "rate \(rate) B/s ") + "limit \(limit)" + others
    }

    fileprivate static func percent(_ share: UInt32) -> String {
        "\((Double(share) / Double(UInt32.max) * 10000).rounded() / 100)%"
    }
}

extension Netem {
    /// The options are a struct, and after it attributes.
    init?(_ options: [UInt8]) {
        guard options.count >= MemoryLayout<tc_netem_qopt>.size else { return nil }
        let fixed = options.withUnsafeBytes { $0.loadUnaligned(as: tc_netem_qopt.self) }
        let attributes = NetlinkAttributes(options.dropFirst(MemoryLayout<tc_netem_qopt>.size))
        guard let latency = attributes.value(TCA_NETEM_LATENCY64, as: Int64.self),
            let jitter = attributes.value(TCA_NETEM_JITTER64, as: Int64.self)
        else { return nil }
        let correlation = attributes.value(TCA_NETEM_CORR, as: tc_netem_corr.self) ?? tc_netem_corr()
        let corrupt = attributes.value(TCA_NETEM_CORRUPT, as: tc_netem_corrupt.self) ?? tc_netem_corrupt()
        self.init(
            limit: fixed.limit, latency: .nanoseconds(latency), jitter: .nanoseconds(jitter),
            latencyCorrelation: correlation.delay_corr,
            loss: Chance(probability: fixed.loss, correlation: correlation.loss_corr),
            lossBursts: attributes.nested(TCA_NETEM_LOSS)?.value(NETEM_LOSS_GE, as: tc_netem_gemodel.self).map {
                LossBursts(toBad: $0.p, toGood: $0.r, lossWhileBad: .max - $0.h, lossWhileGood: $0.k1)
            },
            duplication: Chance(probability: fixed.duplicate, correlation: correlation.dup_corr),
            corruption: Chance(probability: corrupt.probability, correlation: corrupt.correlation),
            rate: Self.rate(in: attributes))
        unmodelled = Self.unmodelled(fixed, attributes)
    }

    /// From 2^32 bytes a second on the kernel uses an attribute of its own.
    private static func rate(in attributes: NetlinkAttributes) -> UInt64 {
        attributes.value(TCA_NETEM_RATE64, as: UInt64.self)
            ?? UInt64(attributes.value(TCA_NETEM_RATE, as: tc_netem_rate.self)?.rate ?? 0)
    }

    private static func unmodelled(_ fixed: tc_netem_qopt, _ attributes: NetlinkAttributes) -> Set<String> {
        let reorder = attributes.value(TCA_NETEM_REORDER, as: tc_netem_reorder.self)?.probability ?? 0
        let rate = attributes.value(TCA_NETEM_RATE, as: tc_netem_rate.self) ?? tc_netem_rate()
        let marking = attributes.value(TCA_NETEM_ECN, as: UInt32.self) ?? 0
        // The kernel lists a loss model only when one is set, and slots only when they are.
        let models = (attributes.nested(TCA_NETEM_LOSS)?.types ?? []).filter { $0 != NETEM_LOSS_GE }
        let found: [(String, Bool)] = [
            ("a model of losses", !models.isEmpty),
            ("reordering", fixed.gap != 0 || reorder != 0),
            ("cells", rate.packet_overhead != 0 || rate.cell_size != 0 || rate.cell_overhead != 0),
            ("marking", marking != 0),
            ("slots", attributes.bytes(TCA_NETEM_SLOT) != nil),
        ]
        return Set(found.filter(\.1).map(\.0))
    }

    /// Writes every setting, those that are off as well: a change keeps what it is not told, but for a model of losses,
    /// which goes when there is none. A table of delays cannot be taken away.
    func write(to request: borrowing NetlinkRequest, delays: DelayTable?) {
        var fixed = tc_netem_qopt()
        fixed.limit = limit
        fixed.loss = loss.probability
        fixed.duplicate = duplication.probability
        request.append(fixed)
        request.put(TCA_NETEM_LATENCY64, latency.wholeNanoseconds)
        request.put(TCA_NETEM_JITTER64, jitter.wholeNanoseconds)
        request.put(
            TCA_NETEM_CORR,
            tc_netem_corr(
                delay_corr: latencyCorrelation, loss_corr: loss.correlation, dup_corr: duplication.correlation))
        request.put(TCA_NETEM_REORDER, tc_netem_reorder())
        request.put(
            TCA_NETEM_CORRUPT,
            tc_netem_corrupt(probability: corruption.probability, correlation: corruption.correlation))
        var speed = tc_netem_rate()
        speed.rate = UInt32(clamping: rate)
        request.put(TCA_NETEM_RATE, speed)
        if rate > UInt64(UInt32.max) { request.put(TCA_NETEM_RATE64, rate) }
        if let delays { request.put(TCA_NETEM_DELAY_DIST, bytes: delays.bytes) }
        if let bursts = lossBursts {
            request.nest(TCA_NETEM_LOSS) {
                request.put(
                    NETEM_LOSS_GE,
                    tc_netem_gemodel(
                        p: bursts.toBad, r: bursts.toGood, h: .max - bursts.lossWhileBad, k1: bursts.lossWhileGood))
            }
        }
        request.put(TCA_NETEM_ECN, UInt32(0))
        request.put(TCA_NETEM_SLOT, tc_netem_slot())
    }
}
