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
}
