package import ChaosModel
package import LinuxSystem

/// Memory of the whole node, as the kernel estimates it.
package struct NodeMemory: Hashable, Sendable {
    package let total: ByteCount
    package let available: ByteCount

    package init(total: ByteCount, available: ByteCount) {
        self.total = total
        self.available = available
    }
}

extension NodeMemory {
    /// Nil where the kernel does not say.
    ///
    /// The corresponding file is `/proc/meminfo`.
    package static func current() throws(SystemCallError) -> NodeMemory? {
        let text = try TextFile.read("/proc/meminfo")
        func bytes(_ name: String) -> ByteCount? {
            let line = text.utf8.split(separator: 0x0A).first { $0.starts(with: "\(name):".utf8) }
            let digits = line?.drop { !(0x30...0x39).contains($0) }.prefix { (0x30...0x39).contains($0) }
            return digits.flatMap { Int64(Substring($0)) }.map { ByteCount($0 * 1024) }
        }
        guard let total = bytes("MemTotal"), let available = bytes("MemAvailable") else { return nil }
        return NodeMemory(total: total, available: available)
    }

    /// What of it stays available when all of the host is short of memory, so that somebody can still log in.
    package var hostReserve: ByteCount { ByteCount(max(total.value / 10, 256 << 20)) }

    /// Whether others have taken so much of the reserve that what holds memory has to go.
    var isSpent: Bool { available.value < hostReserve.value / 2 }

    /// Whether a limit leaves the host its reserve. Under none that does, as often under the one that holds all pods
    /// together, only the machine's size holds back what takes memory.
    package func isSpared(by limit: ByteCount?) -> Bool {
        guard let limit else { return false }
        return limit.value <= total.value - hostReserve.value
    }

    /// Where no limit stops it before, the node itself would run out of memory, and its kernel choose among everybody.
    ///
    /// - Parameters:
    ///   - limit: The tightest that applies to what is to be held; nil when there is none.
    ///   - field: The request's that says how much.
    /// - Throws: `field-invalid` for what would take of the node's reserve.
    package func refuseToStarve(
        holding size: ByteCount, below limit: ByteCount?, field: String
    ) throws(Problem) {
        let taken = min(size, limit ?? size)
        let reserve = isSpared(by: limit) ? Int64(Double(total.value) * Self.shareBesideLimits) : hostReserve.value
        let most = max(0, available.value - reserve)
        if taken.value > most {
            throw Problem(
                .fieldInvalid,
                "\(taken) would leave less than \(ByteCount(reserve)) of memory to the node, which has "
                    + "\(available) available",
                field: field, hint: "at most \(most) bytes")
        }
    }

    /// What stays available beside a target whose limit leaves the host its reserve.
    private static let shareBesideLimits = 0.05
}
