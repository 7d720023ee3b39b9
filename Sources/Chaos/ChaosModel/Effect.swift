import LinuxSystem

/// What a step achieved, as the kernel counts it.
package enum Effect: Hashable, Sendable {
    /// CPU time that the worker got, and how long it has been at work.
    case cpu(used: Duration, over: Duration)
    /// Anonymous memory that the worker holds.
    case memory(resident: ByteCount)
    /// What the file takes on its file system.
    case disk(allocated: ByteCount)
    /// What the kernel's cache holds of the worker's file.
    case cache(resident: ByteCount)
    /// What was read from the disk and written to it, by how many operations, and for how long that has been counted.
    case io(read: ByteCount, written: ByteCount, operations: IOOperations?, over: Duration)
    /// What the worker's sockets took of it, in how many packets where it decides on them, and how long it has been at that.
    case sent(ByteCount, packets: Int64?, over: Duration)
    /// Packets that went through the fault, and those that it dropped, on purpose or for want of room.
    case traffic(packets: Int64, dropped: Int64)
    /// How long the target was kept from running, summed over CPUs, and how many CPUs it may have now.
    case throttled(for: Duration, limit: Double?)
    /// Memory that the kernel took back from the target, and what that uses now.
    case reclaimed(ByteCount, used: ByteCount)
    /// How many processes got a signal.
    case signalled(Int)
    /// How long the container took to end, and its exit status, where its runtime tells.
    case stopped(after: Duration, exitCode: Int32?)
    /// How long all of the target's processes have been stopped; zero when one of them still runs.
    case paused(for: Duration)
    /// How long the service has been stopped, or was until somebody started it.
    case down(for: Duration)
    /// How long the service was not active while it was restarted.
    case restarted(after: Duration)
    /// By how much the wall clock is ahead of what it would be, or behind it.
    case clockMoved(by: Duration)
    /// systemd was told to take the host down.
    case hostOrdered(HostShutdown)
    /// The host went down, and was started again.
    case hostWentDown(HostShutdown)

    /// As a person would say it.
    package var words: String {
        switch self {
        case .cpu(let used, let over):
            "used \(Self.rounded(used.seconds, 100)) s of CPU time in \(Self.rounded(over.seconds, 10)) s: "
                + "\(Self.rounded(percent(used, over), 10)) % of one CPU"
        case .memory(let resident): "\(resident) resident"
        case .disk(let allocated): "\(allocated) on disk"
        case .cache(let resident): "\(resident) in the page cache"
        case .io(let read, let written, let operations, let over):
            "\(read) read and \(written) written in \(Self.rounded(over.seconds, 10)) s"
                + (operations.map { ", by \($0.reads) reads and \($0.writes) writes" } ?? "")
        case .sent(let bytes, let packets, let over):
            "\(bytes) sent" + (packets.map { " in \($0) packets" } ?? "") + " in \(Self.rounded(over.seconds, 10)) s: "
                + "\(Self.rounded(megabits(bytes, over), 1000)) Mbit/s"
        case .traffic(let packets, let dropped):
            "\(packets) packets" + (dropped > 0 ? ", and \(dropped) dropped" : "")
        case .throttled(let time, let limit):
            "throttled for \(Self.rounded(time.seconds, 100)) s of CPU time, at "
                + (limit.map { "\(Self.rounded($0, 1000)) CPUs" } ?? "no limit")
        case .reclaimed(let bytes, let used): "\(bytes) taken back, \(used) used"
        case .signalled(let count): "\(count) process\(count == 1 ? "" : "es") signalled"
        case .stopped(let time, let exitCode):
            "stopped after \(Self.rounded(time.seconds, 100)) s"
                + (exitCode.map { ", with exit code \($0)" } ?? "")
        case .paused(let time): "paused for \(Self.rounded(time.seconds, 10)) s"
        case .down(let time): "stopped for \(Self.rounded(time.seconds, 10)) s"
        case .restarted(let time): "active again after \(Self.rounded(time.seconds, 100)) s"
        case .clockMoved(let offset):
            "the clock is \(Self.rounded(abs(offset.seconds), 1000)) s \(offset < .zero ? "behind" : "ahead of") what it would be"
        case .hostOrdered(let how): "systemd was told to \(how.words)"
        case .hostWentDown(.reboot): "the host was rebooted"
        case .hostWentDown(.powerOff): "the host was switched off, and has been started again"
        }
    }

    /// As a session's report tells it.
    package var report: JSON {
        var members: [(String, JSON?)] = [("summary", .string(words))]
        switch self {
        case .cpu(let used, let over):
            members += [
                ("cpuSeconds", .number(Self.rounded(used.seconds, 1000))),
                ("cpuPercent", .number(Self.rounded(percent(used, over), 100))),
            ]
        case .memory(let resident): members += [("residentBytes", .integer(resident.value))]
        case .disk(let allocated): members += [("diskBytes", .integer(allocated.value))]
        case .cache(let resident): members += [("cachedBytes", .integer(resident.value))]
        case .io(let read, let written, let operations, let over):
            members += [
                ("readBytes", .integer(read.value)), ("writtenBytes", .integer(written.value)),
                ("readOps", operations.map { .integer($0.reads) }),
                ("writeOps", operations.map { .integer($0.writes) }),
                ("seconds", .number(Self.rounded(over.seconds, 1000))),
            ]
        case .sent(let bytes, let packets, let over):
            members += [
                ("sentBytes", .integer(bytes.value)), ("sentPackets", packets.map(JSON.integer)),
                ("seconds", .number(Self.rounded(over.seconds, 1000))),
            ]
        case .traffic(let packets, let dropped):
            members += [("packets", .integer(packets)), ("droppedPackets", .integer(dropped))]
        case .throttled(let time, let limit):
            members += [
                ("throttledSeconds", .number(Self.rounded(time.seconds, 1000))),
                ("cpuLimit", limit.map { .number(Self.rounded($0, 1000)) }),
            ]
        case .reclaimed(let bytes, let used):
            members += [("reclaimedBytes", .integer(bytes.value)), ("usedBytes", .integer(used.value))]
        case .signalled(let count): members += [("signalledProcesses", .integer(Int64(count)))]
        case .stopped(let time, let exitCode):
            members += [
                ("stopSeconds", .number(Self.rounded(time.seconds, 1000))),
                ("exitCode", exitCode.map { .integer(Int64($0)) }),
            ]
        case .paused(let time): members += [("pausedSeconds", .number(Self.rounded(time.seconds, 1000)))]
        case .down(let time): members += [("downSeconds", .number(Self.rounded(time.seconds, 1000)))]
        case .restarted(let time): members += [("restartSeconds", .number(Self.rounded(time.seconds, 1000)))]
        case .clockMoved(let offset): members += [("offsetSeconds", .number(Self.rounded(offset.seconds, 1e6)))]
        case .hostOrdered(let how): members += [(how.member, false)]
        case .hostWentDown(let how): members += [(how.member, true)]
        }
        return .object(members)
    }

    private func percent(_ used: Duration, _ over: Duration) -> Double {
        over > .zero ? used / over * 100 : 0
    }

    private func megabits(_ bytes: ByteCount, _ over: Duration) -> Double {
        over > .zero ? Double(bytes.value) * 8 / 1e6 / over.seconds : 0
    }

    private static func rounded(_ value: Double, _ parts: Double) -> Double { (value * parts).rounded() / parts }
}

/// How a host is taken down.
package enum HostShutdown: String, CaseIterable, Sendable {
    case reboot
    case powerOff = "power-off"

    /// As a person would say it.
    package var words: String {
        switch self {
        case .reboot: "reboot the host"
        case .powerOff: "switch the host off"
        }
    }

    /// What a report says of it.
    fileprivate var member: String {
        switch self {
        case .reboot: "rebooted"
        case .powerOff: "poweredOff"
        }
    }
}

/// Of a disk: what was asked of it, or what a process has called.
package struct IOOperations: Hashable, Sendable {
    package let reads: Int64
    package let writes: Int64

    package init(reads: Int64, writes: Int64) {
        self.reads = reads
        self.writes = writes
    }
}

/// As the journal keeps it.
extension Effect {
    package var json: JSON {
        switch self {
        case .cpu(let used, let over):
            ["cpu": ["usedSeconds": .number(used.seconds), "overSeconds": .number(over.seconds)]]
        case .memory(let resident): ["memory": .integer(resident.value)]
        case .disk(let allocated): ["disk": .integer(allocated.value)]
        case .cache(let resident): ["cached": .integer(resident.value)]
        case .io(let read, let written, let operations, let over):
            .object([
                ("read", .integer(read.value)), ("written", .integer(written.value)),
                ("reads", operations.map { .integer($0.reads) }), ("writes", operations.map { .integer($0.writes) }),
                ("overSeconds", .number(over.seconds)),
            ])
        case .sent(let bytes, let packets, let over):
            .object([
                ("sent", .integer(bytes.value)), ("packets", packets.map(JSON.integer)),
                ("overSeconds", .number(over.seconds)),
            ])
        case .traffic(let packets, let dropped):
            ["traffic": ["packets": .integer(packets), "dropped": .integer(dropped)]]
        case .throttled(let time, let limit):
            ["throttled": .object([("seconds", .number(time.seconds)), ("cpus", limit.map(JSON.number))])]
        case .reclaimed(let bytes, let used):
            ["reclaimed": .integer(bytes.value), "used": .integer(used.value)]
        case .signalled(let count): ["signalled": .integer(Int64(count))]
        case .stopped(let time, let exitCode):
            .object([
                ("stopSeconds", .number(time.seconds)), ("exitCode", exitCode.map { .integer(Int64($0)) }),
            ])
        case .paused(let time): ["pausedSeconds": .number(time.seconds)]
        case .down(let time): ["downSeconds": .number(time.seconds)]
        case .restarted(let time): ["restartSeconds": .number(time.seconds)]
        case .clockMoved(let offset): ["clockNanoseconds": .integer(offset.wholeNanoseconds)]
        case .hostOrdered(let how): ["hostOrdered": .string(how.rawValue)]
        case .hostWentDown(let how): ["hostWentDown": .string(how.rawValue)]
        }
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        func bytes(_ name: String) -> ByteCount? {
            json[name]?.integerValue.flatMap { $0 >= 0 ? ByteCount($0) : nil }
        }
        func duration(_ name: String) -> Duration? { json["cpu"]?[name]?.doubleValue.map { .seconds($0) } }
        if let used = duration("usedSeconds"), let over = duration("overSeconds") {
            self = .cpu(used: used, over: over)
        } else if let resident = bytes("memory") {
            self = .memory(resident: resident)
        } else if let allocated = bytes("disk") {
            self = .disk(allocated: allocated)
        } else if let sent = bytes("sent"), let seconds = json["overSeconds"]?.doubleValue {
            self = .sent(sent, packets: json["packets"]?.integerValue, over: .seconds(seconds))
        } else if let resident = bytes("cached") {
            self = .cache(resident: resident)
        } else if let packets = json["traffic"]?["packets"]?.integerValue,
            let dropped = json["traffic"]?["dropped"]?.integerValue
        {
            self = .traffic(packets: packets, dropped: dropped)
        } else if let throttled = json["throttled"], let seconds = throttled["seconds"]?.doubleValue {
            self = .throttled(for: .seconds(seconds), limit: throttled["cpus"]?.doubleValue)
        } else if let read = bytes("read"), let written = bytes("written"),
            let seconds = json["overSeconds"]?.doubleValue
        {
            // An earlier agent counted none.
            let operations = json["reads"]?.integerValue.flatMap { reads in
                json["writes"]?.integerValue.map { IOOperations(reads: reads, writes: $0) }
            }
            self = .io(read: read, written: written, operations: operations, over: .seconds(seconds))
        } else if let reclaimed = bytes("reclaimed"), let used = bytes("used") {
            self = .reclaimed(reclaimed, used: used)
        } else if let count = json["signalled"]?.integerValue {
            self = .signalled(Int(count))
        } else if let seconds = json["stopSeconds"]?.doubleValue {
            let exitCode = json["exitCode"]?.integerValue.flatMap { Int32(exactly: $0) }
            self = .stopped(after: .seconds(seconds), exitCode: exitCode)
        } else if let seconds = json["pausedSeconds"]?.doubleValue {
            self = .paused(for: .seconds(seconds))
        } else if let seconds = json["downSeconds"]?.doubleValue {
            self = .down(for: .seconds(seconds))
        } else if let seconds = json["restartSeconds"]?.doubleValue {
            self = .restarted(after: .seconds(seconds))
        } else if let nanoseconds = json["clockNanoseconds"]?.integerValue {
            self = .clockMoved(by: .nanoseconds(nanoseconds))
        } else if let how = json["hostOrdered"]?.stringValue.flatMap(HostShutdown.init) {
            self = .hostOrdered(how)
        } else if let how = json["hostWentDown"]?.stringValue.flatMap(HostShutdown.init) {
            self = .hostWentDown(how)
        } else {
            return nil
        }
    }
}
