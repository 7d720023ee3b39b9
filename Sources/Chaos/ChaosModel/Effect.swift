/// What a step achieved, as the kernel counts it.
package enum Effect: Hashable, Sendable {
    /// CPU time that the worker got, and how long it has been at work.
    case cpu(used: Duration, over: Duration)
    /// Anonymous memory that the worker holds.
    case memory(resident: ByteCount)
    /// What the file takes on its file system.
    case disk(allocated: ByteCount)
    /// Packets that went through the fault, and those that it had no room for.
    case traffic(packets: Int64, dropped: Int64)

    /// As a person would say it.
    package var words: String {
        switch self {
        case .cpu(let used, let over):
            "used \(Self.rounded(used.seconds, 100)) s of CPU time in \(Self.rounded(over.seconds, 10)) s: "
                + "\(Self.rounded(percent(used, over), 10)) % of one CPU"
        case .memory(let resident): "\(resident) resident"
        case .disk(let allocated): "\(allocated) on disk"
        case .traffic(let packets, let dropped):
            "\(packets) packets" + (dropped > 0 ? ", and \(dropped) dropped for want of room" : "")
        }
    }

    package var members: [(String, JSON?)] {
        switch self {
        case .cpu(let used, let over):
            [
                ("cpuSeconds", .number(Self.rounded(used.seconds, 1000))),
                ("cpuPercent", .number(Self.rounded(percent(used, over), 100))),
            ]
        case .memory(let resident): [("residentBytes", .integer(resident.value))]
        case .disk(let allocated): [("diskBytes", .integer(allocated.value))]
        case .traffic(let packets, let dropped):
            [("packets", .integer(packets)), ("droppedPackets", .integer(dropped))]
        }
    }

    private func percent(_ used: Duration, _ over: Duration) -> Double {
        over > .zero ? used / over * 100 : 0
    }

    private static func rounded(_ value: Double, _ parts: Double) -> Double { (value * parts).rounded() / parts }
}
