internal import Glibc
package import LinuxSystem

/// What a cgroup can be given less of, by a file that holds its limit.
package enum LimitedResource: Hashable, Sendable {
    /// CPU time in microseconds a second: a million is one CPU.
    case cpu
    /// Bytes beyond which the kernel takes memory back and lets its processes wait meanwhile. Not on v1.
    case memory
    /// Whether its processes run: a limit of 0 is the freezer.
    case freezer
    /// What it may read from a disk or write to it, a second.
    case io(BlockDevice, IOQuantity)

    fileprivate var controller: CgroupController {
        switch self {
        case .cpu: .cpu
        case .memory: .memory
        case .freezer: .freezer
        case .io: .io
        }
    }
}

/// What is counted of input and output, as `io.max` calls it.
package enum IOQuantity: String, CaseIterable, Sendable {
    case readBytes = "rbps"
    case writtenBytes = "wbps"
    case reads = "riops"
    case writes = "wiops"

    fileprivate var separateFile: String {
        switch self {
        case .readBytes: "blkio.throttle.read_bps_device"
        case .writtenBytes: "blkio.throttle.write_bps_device"
        case .reads: "blkio.throttle.read_iops_device"
        case .writes: "blkio.throttle.write_iops_device"
        }
    }
}

/// What the kernel has counted of a disk: bytes, and the requests that it made of them.
package struct IOCount: Hashable, Sendable {
    package let read: Int64
    package let written: Int64
    package let reads: Int64
    package let writes: Int64
}

/// A whole disk, or what looks like one.
package struct BlockDevice: Hashable, Sendable, CustomStringConvertible {
    package let major: UInt32
    package let minor: UInt32

    package init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }

    /// Reads `8:0`.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map { UInt32($0) }
        guard parts.count == 2, let major = parts[0], let minor = parts[1] else { return nil }
        self.init(major: major, minor: minor)
    }

    package var description: String { "\(major):\(minor)" }
}

extension LimitedResource: RawRepresentable {
    /// As the journal has it.
    package var rawValue: String {
        switch self {
        case .cpu: "cpu"
        case .memory: "memory"
        case .freezer: "freezer"
        case .io(let device, let quantity): "io \(device) \(quantity.rawValue)"
        }
    }

    package init?(rawValue: String) {
        let words = rawValue.split(separator: " ")
        switch (words.first, words.count) {
        case ("cpu", 1): self = .cpu
        case ("memory", 1): self = .memory
        case ("freezer", 1): self = .freezer
        case ("io", 3):
            guard let device = BlockDevice(words[1]), let quantity = IOQuantity(rawValue: String(words[2])) else {
                return nil
            }
            self = .io(device, quantity)
        default: return nil
        }
    }
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

    /// All that its file may hold while it is in effect.
    package var texts: [String] { text == Self.frozen ? [text, Self.freezing] : [text] }

    fileprivate static let frozen = "FROZEN"
    fileprivate static let freezing = "FREEZING"
}

extension Cgroup {
    /// Its own limit; of a cgroup above there may be a lower one.
    ///
    /// - Throws: `notEnabled` where this cgroup has no such limit.
    ///
    /// The corresponding file is `cpu.max`, on v1 `cpu.cfs_quota_us`; `memory.high`; `cgroup.freeze`, on v1
    /// `freezer.state`; `io.max`, on v1 `blkio.throttle.*`.
    package func limit(of resource: LimitedResource) throws(CgroupFileError) -> CgroupLimit {
        switch resource {
        case .cpu:
            let text = try line(file(of: resource), of: .cpu)
            let (quota, period) = try quota(in: text)
            return CgroupLimit(amount: quota.map { Self.amount($0, period) }, text: text)
        case .memory:
            let text = try line(file(of: resource), of: .memory)
            if text == "max" { return CgroupLimit(amount: nil, text: text) }
            guard let bytes = Int64(text) else { throw .unreadable(file: file(of: resource), text: text) }
            return CgroupLimit(amount: bytes, text: text)
        case .freezer: return try freezerLimit()
        case .io(let device, let quantity): return try ioLimit(of: device, quantity, resource)
        }
    }

    private func freezerLimit() throws(CgroupFileError) -> CgroupLimit {
        // freezer.state tells of cgroups above as well.
        let file = layout == .unified ? file(of: .freezer) : "freezer.self_freezing"
        let words = layout == .unified ? (runs: "0", stands: "1") : (runs: "THAWED", stands: CgroupLimit.frozen)
        switch try line(file, of: .freezer) {
        case "0": return CgroupLimit(amount: nil, text: words.runs)
        case "1": return CgroupLimit(amount: 0, text: words.stands)
        case let text: throw .unreadable(file: file, text: text)
        }
    }

    private func ioLimit(
        of device: BlockDevice, _ quantity: IOQuantity, _ resource: LimitedResource
    ) throws(CgroupFileError) -> CgroupLimit {
        let text = try read(file(of: resource), of: .io)
        let line = text.split(separator: "\n").first { $0.hasPrefix("\(device) ") }
        let words = line.map { $0.split(separator: " ").dropFirst() } ?? []
        let value =
            switch layout {
            case .unified: words.first { $0.hasPrefix("\(quantity.rawValue)=") }?.split(separator: "=").last
            case .perController: words.first
            }
        guard let value, value != "max", value != "0" else { return ioLimit(nil, of: device, quantity) }
        guard let amount = Int64(value) else { throw .unreadable(file: file(of: resource), text: text) }
        return ioLimit(amount, of: device, quantity)
    }

    private func ioLimit(_ amount: Int64?, of device: BlockDevice, _ quantity: IOQuantity) -> CgroupLimit {
        switch layout {
        case .unified:
            CgroupLimit(amount: amount, text: "\(device) \(quantity.rawValue)=\(amount.map(String.init) ?? "max")")
        case .perController: CgroupLimit(amount: amount, text: "\(device) \(amount ?? 0)")
        }
    }

    /// A limit of so much, as it will be read back; of CPU time never less than the kernel takes (a millisecond of each
    /// period, mostly 100 ms), of memory whole pages.
    package func limit(of resource: LimitedResource, at amount: Int64) throws(CgroupFileError) -> CgroupLimit {
        switch resource {
        case .cpu:
            let (_, period) = try quota(in: try line(file(of: .cpu), of: .cpu))
            let quota = max(Self.leastQuota, Int64(Double(amount) * Double(period) / Double(Self.second)))
            return CgroupLimit(
                amount: Self.amount(quota, period), text: layout == .unified ? "\(quota) \(period)" : "\(quota)")
        case .memory:
            let page = Int64(sysconf(Int32(_SC_PAGESIZE)))
            let bytes = amount / page * page
            return CgroupLimit(amount: bytes, text: "\(bytes)")
        case .freezer:
            return CgroupLimit(amount: 0, text: layout == .unified ? "1" : CgroupLimit.frozen)
        case .io(let device, let quantity): return ioLimit(max(1, amount), of: device, quantity)
        }
    }

    /// The kernel takes memory back before the call returns, for as long as that takes, when that limit is lowered.
    package func set(_ limit: CgroupLimit, of resource: LimitedResource) throws(CgroupFileError) {
        try write(limit.text, to: file(of: resource), of: resource.controller)
    }

    /// The limit's file, for whoever has to put back what it held.
    package func openLimit(of resource: LimitedResource) throws(CgroupFileError) -> OwnedDescriptor {
        try open(file(of: resource), of: resource.controller, O_RDWR)
    }

    /// CPU time that it may save up for later, which must not be more than its quota; none on v1 kernels without it.
    ///
    /// The corresponding file is `cpu.max.burst`, on v1 `cpu.cfs_burst_us`; in microseconds.
    package func cpuBurst() throws(CgroupFileError) -> Int64 {
        let file = layout == .unified ? "cpu.max.burst" : "cpu.cfs_burst_us"
        return try readIfEnabled(file, of: .cpu).flatMap { Int64(Self.firstLine(of: $0)) } ?? 0
    }

    /// The least CPU time that its own limit or one above allows it, in CPUs; nil when there is none.
    package func cpuLimit() throws(CgroupFileError) -> Double? {
        let own: Int64?
        do throws(CgroupFileError) {
            own = try limit(of: .cpu).amount
        } catch .notEnabled {
            own = nil
        }
        return [own, try cpuLimitAbove()].compactMap(\.self).min().map { Double($0) / Double(Self.second) }
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

    /// What its processes, those below too, have read from a disk and written to it.
    ///
    /// The corresponding file is `io.stat`, on v1 `blkio.throttle.io_service_bytes` and `blkio.throttle.io_serviced`.
    package func ioCount(of device: BlockDevice) throws(CgroupFileError) -> IOCount {
        switch layout {
        case .unified:
            let values = Self.values(of: device, in: try read("io.stat", of: .io))
            return IOCount(
                read: values["rbytes"] ?? 0, written: values["wbytes"] ?? 0, reads: values["rios"] ?? 0,
                writes: values["wios"] ?? 0)
        case .perController:
            let bytes = Self.values(of: device, in: try read("blkio.throttle.io_service_bytes", of: .io))
            let requests = Self.values(of: device, in: try read("blkio.throttle.io_serviced", of: .io))
            return IOCount(
                read: bytes["Read"] ?? 0, written: bytes["Write"] ?? 0, reads: requests["Read"] ?? 0,
                writes: requests["Write"] ?? 0)
        }
    }

    /// Of the lines that begin with the device: `8:0 rbytes=1 wbytes=2` in one, or `8:0 Read 1` and `8:0 Write 2`.
    private static func values(of device: BlockDevice, in text: String) -> [Substring: Int64] {
        var values: [Substring: Int64] = [:]
        for line in text.split(separator: "\n") where line.hasPrefix("\(device) ") {
            let words = line.split(whereSeparator: { " =".contains($0) })
            for (name, value) in zip(words.dropFirst(), words.dropFirst(2)) { values[name] = Int64(value) }
        }
        return values
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
        case (.memory, _): "memory.high"
        case (.freezer, .unified): "cgroup.freeze"
        case (.freezer, .perController): "freezer.state"
        case (.io, .unified): "io.max"
        case (.io(_, let quantity), .perController): quantity.separateFile
        }
    }

    private func line(_ file: String, of controller: CgroupController) throws(CgroupFileError) -> String {
        Self.firstLine(of: try read(file, of: controller))
    }

    private static func firstLine(of text: String) -> String {
        text.split(separator: "\n").first.map(String.init) ?? ""
    }

    /// `max 100000` on v2; on v1 `-1`, and the period is elsewhere.
    private func quota(in text: String) throws(CgroupFileError) -> (quota: Int64?, period: Int64) {
        let fields = text.split(separator: " ")
        let period = layout == .unified ? fields.last.map(String.init) : try line("cpu.cfs_period_us", of: .cpu)
        guard let first = fields.first, let period = period.flatMap({ Int64($0) }), period > 0,
            let quota = first == "max" ? -1 : Int64(first)
        else { throw .unreadable(file: file(of: .cpu), text: text) }
        return (quota < 0 ? nil : quota, period)
    }
}
