internal import Glibc
package import LinuxSystem

/// What a cgroup can be given less of, by a file that holds its limit.
package enum LimitedResource: String, Hashable, Sendable {
    /// CPU time in microseconds a second: a million is one CPU.
    case cpu
}

/// A limit, and the text of its file that says it.
package struct CgroupLimit: Hashable, Sendable {
    /// Nil is none.
    package let amount: Int64?
    package let text: String

    package init(amount: Int64?, text: String) {
        self.amount = amount
        self.text = text
    }
}

extension Cgroup {
    /// Its own limit; of a cgroup above there may be a lower one.
    ///
    /// - Throws: `notEnabled` where this cgroup has no such limit.
    ///
    /// The corresponding file is `cpu.max`, on v1 `cpu.cfs_quota_us`.
    package func limit(of resource: LimitedResource) throws(CgroupFileError) -> CgroupLimit {
        let text = try line(file(of: resource))
        let (quota, period) = try quota(in: text)
        return CgroupLimit(amount: quota.map { Self.amount($0, period) }, text: text)
    }

    /// A limit of so much, but never less than the kernel takes (a millisecond of each period, mostly 100 ms), as it
    /// will be read back.
    package func limit(of resource: LimitedResource, at amount: Int64) throws(CgroupFileError) -> CgroupLimit {
        let (_, period) = try quota(in: try line(file(of: resource)))
        let quota = max(Self.leastQuota, Int64(Double(amount) * Double(period) / Double(Self.second)))
        return CgroupLimit(
            amount: Self.amount(quota, period), text: layout == .unified ? "\(quota) \(period)" : "\(quota)")
    }

    package func set(_ limit: CgroupLimit, of resource: LimitedResource) throws(CgroupFileError) {
        try write(limit.text, to: file(of: resource), of: .cpu)
    }

    /// The limit's file, for whoever has to put back what it held.
    package func openLimit(of resource: LimitedResource) throws(CgroupFileError) -> OwnedDescriptor {
        try open(file(of: resource), of: .cpu, O_RDWR)
    }

    /// The least CPU time that a cgroup above allows it; nil when none has a limit.
    package func cpuLimitAbove() throws(CgroupFileError) -> Int64? {
        let file = file(of: .cpu)
        let quotas = try readUpwards(file, until: { _ in false })
        // On v2 both are in one line.
        let periods = layout == .unified ? quotas : try readUpwards("cpu.cfs_period_us", until: { _ in false })
        var least: Int64?
        for (quota, period) in zip(quotas, periods) where quota.path != path {
            let fields = "\(Self.firstLine(of: quota.text)) \(Self.firstLine(of: period.text))".split(separator: " ")
            guard let first = fields.first, let quota = Int64(first), quota > 0 else { continue }
            guard let period = fields.last.flatMap({ Int64($0) }), period > 0 else {
                throw .unreadable(file: file, text: period.text)
            }
            least = min(least ?? .max, Self.amount(quota, period))
        }
        return least
    }

    /// How long its processes, those below too, were kept from running for having used up their CPU time.
    package func throttledTime() throws(CgroupFileError) -> Duration {
        let text = try read("cpu.stat", of: .cpu)
        if let microseconds = Self.value(of: "throttled_usec", in: text) { return .microseconds(microseconds) }
        if let nanoseconds = Self.value(of: "throttled_time", in: text) { return .nanoseconds(nanoseconds) }
        throw .unreadable(file: "cpu.stat", text: text)
    }

    private static let second: Int64 = 1_000_000
    private static let leastQuota: Int64 = 1000

    private static func amount(_ quota: Int64, _ period: Int64) -> Int64 {
        Int64(min(Double(quota) * Double(second) / Double(period), 1e15).rounded())
    }

    private func file(of resource: LimitedResource) -> String {
        switch (resource, layout) {
        case (.cpu, .unified): "cpu.max"
        case (.cpu, .perController): "cpu.cfs_quota_us"
        }
    }

    private func line(_ file: String) throws(CgroupFileError) -> String {
        Self.firstLine(of: try read(file, of: .cpu))
    }

    private static func firstLine(of text: String) -> String {
        text.split(separator: "\n").first.map(String.init) ?? ""
    }

    /// `max 100000` on v2; on v1 `-1`, and the period is elsewhere.
    private func quota(in text: String) throws(CgroupFileError) -> (quota: Int64?, period: Int64) {
        let fields = text.split(separator: " ")
        let period = layout == .unified ? fields.last.map(String.init) : try line("cpu.cfs_period_us")
        guard let first = fields.first, let period = period.flatMap({ Int64($0) }), period > 0,
            let quota = first == "max" ? -1 : Int64(first)
        else { throw .unreadable(file: file(of: .cpu), text: text) }
        return (quota < 0 ? nil : quota, period)
    }
}
