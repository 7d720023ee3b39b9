internal import CNetlink
internal import LinuxSystem

/// What the network emulator does to packets, in the kernel's own units, so that reading back gives what was written.
package struct Netem: Hashable, Sendable {
    /// How many packets it holds; what arrives beyond that is dropped.
    package var limit: UInt32
    package var latency: Duration
    /// Each packet's delay is drawn evenly from `latency` ± `jitter`, so packets overtake each other where it is not
    /// zero. The kernel keeps at most `maximumJitter`.
    package var jitter: Duration
    /// How much a packet's delay resembles the one before: a share of `UInt32.max`.
    package var latencyCorrelation: UInt32
    /// Settings found in the kernel that this type cannot say; writing sets them to nothing.
    package private(set) var unmodelled: Set<String> = []

    package static let maximumJitter: Duration = .nanoseconds(Int64(Int32.max))

    package init(limit: UInt32, latency: Duration, jitter: Duration = .zero, latencyCorrelation: UInt32 = 0) {
        self.limit = limit
        self.latency = latency
        self.jitter = jitter
        self.latencyCorrelation = latencyCorrelation
    }
}

extension Netem: CustomStringConvertible {
    package var description: String {
        let correlation = Double(latencyCorrelation) / Double(UInt32.max) * 100
        let others = unmodelled.isEmpty ? "" : " and " + unmodelled.sorted().joined(separator: ", ")
        return "latency \(latency) jitter \(jitter) correlation \((correlation * 100).rounded() / 100)% limit \(limit)"
            + others
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
        self.init(
            limit: fixed.limit, latency: .nanoseconds(latency), jitter: .nanoseconds(jitter),
            latencyCorrelation: correlation.delay_corr)
        unmodelled = Self.unmodelled(fixed, correlation, attributes)
    }

    private static func unmodelled(
        _ fixed: tc_netem_qopt, _ correlation: tc_netem_corr, _ attributes: NetlinkAttributes
    ) -> Set<String> {
        let corrupt = attributes.value(TCA_NETEM_CORRUPT, as: tc_netem_corrupt.self)?.probability ?? 0
        let reorder = attributes.value(TCA_NETEM_REORDER, as: tc_netem_reorder.self)?.probability ?? 0
        let rate = attributes.value(TCA_NETEM_RATE, as: tc_netem_rate.self)?.rate ?? 0
        let marking = attributes.value(TCA_NETEM_ECN, as: UInt32.self) ?? 0
        // The kernel lists a loss model only when one is set, and slots only when they are.
        let model = attributes.nested(TCA_NETEM_LOSS)?.types ?? []
        let found: [(String, Bool)] = [
            ("loss", fixed.loss != 0 || correlation.loss_corr != 0 || !model.isEmpty),
            ("duplication", fixed.duplicate != 0 || correlation.dup_corr != 0),
            ("reordering", fixed.gap != 0 || reorder != 0),
            ("corruption", corrupt != 0),
            ("rate", rate != 0),
            ("marking", marking != 0),
            ("slots", attributes.bytes(TCA_NETEM_SLOT) != nil),
        ]
        return Set(found.filter(\.1).map(\.0))
    }

    /// Writes every setting, those that are off as well: a change keeps what it is not told.
    func write(to request: borrowing NetlinkRequest) {
        var fixed = tc_netem_qopt()
        fixed.limit = limit
        request.append(fixed)
        request.put(TCA_NETEM_LATENCY64, latency.wholeNanoseconds)
        request.put(TCA_NETEM_JITTER64, jitter.wholeNanoseconds)
        request.put(TCA_NETEM_CORR, tc_netem_corr(delay_corr: latencyCorrelation, loss_corr: 0, dup_corr: 0))
        request.put(TCA_NETEM_REORDER, tc_netem_reorder())
        request.put(TCA_NETEM_CORRUPT, tc_netem_corrupt())
        request.put(TCA_NETEM_RATE, tc_netem_rate())
        request.put(TCA_NETEM_ECN, UInt32(0))
        request.put(TCA_NETEM_SLOT, tc_netem_slot())
    }
}
