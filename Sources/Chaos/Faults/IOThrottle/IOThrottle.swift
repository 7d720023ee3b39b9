import Cgroups
package import ChaosModel
package import Steps

/// Lets the target read and write less.
package struct IOThrottle: Fault {
    package static let kind = "io-throttle"
    package static let summary = "slows down what the target reads from a disk and writes to it"
    package static let explanation = """
        The target's cgroup gets limits for the disk that backs a directory, without any process of the agent's: bytes or \
        requests a second, of reading, of writing, or of both. What is in the kernel's caches is not read from the disk; \
        what is written into them is slowed down later, as they are written back: on cgroup v2 with ext2, ext4, xfs or \
        f2fs, and not at all on v1. Directories on btrfs, tmpfs and network file systems are refused. The limits hold for \
        everything that the target does on that disk, whatever the directory; a volume is often on another disk than `/`. \
        Where a write that waits for the limit is part of a file system's own journal, as with ext4, others that change files \
        there wait for it too. Of several such sessions the lowest limits apply. A limit that somebody else changes meanwhile is left alone.
        """
    package static let reach = Reach.node
    package static let needs: [NodeFeature] = []
    package static let parameters =
        [Parameter("path", .path, standard: "/", meaning: "a directory on the disk, as the target sees it")]
        + quantities.map { name, quantity in
            quantity.isOfBytes
                ? Parameter(
                    name, .bytes(ByteCount(64 << 10)...ByteCount(1 << 40)),
                    meaning:
                        "bytes that may be \(quantity.words) the disk in a second; 1MiB both ways where none of the four limits is given"
                )
                : Parameter(
                    name, .integer(10...1_000_000_000),
                    meaning:
                        "\(quantity == .reads ? "read" : "write") requests to the disk in a second, as the kernel makes them: its IOPS, not "
                        + "the program's calls")
        }
    package static let examples = [
        FaultExample("a slow disk", [:]),
        FaultExample("a volume that takes 10 MiB a second", ["path": "/tmp", "writeBytesPerSec": "10MiB"]),
        FaultExample("a disk that is busy elsewhere", ["readOpsPerSec": 20, "writeOpsPerSec": 20]),
    ]

    private static let quantities: [(name: String, quantity: IOQuantity)] = [
        ("readBytesPerSec", .readBytes), ("writeBytesPerSec", .writtenBytes), ("readOpsPerSec", .reads),
        ("writeOpsPerSec", .writes),
    ]

    private let limits: [(quantity: IOQuantity, amount: Int64)]
    private let directory: String

    package init(_ values: ParameterValues) throws(Problem) {
        directory = values.text("path")
        let given = Self.quantities.compactMap { name, quantity in
            (values.optionalBytes(name)?.value ?? values.optionalInteger(name)).map { (quantity, $0) }
        }
        limits = given.isEmpty ? [(.readBytes, Self.standard), (.writtenBytes, Self.standard)] : given
    }

    private static let standard: Int64 = 1 << 20

    package var implied: [JSON.Member] {
        limits.compactMap { quantity, amount in
            Self.quantities.first { $0.quantity == quantity }.map { name, _ in
                JSON.Member(name, quantity.isOfBytes ? .string(ByteCount(amount).text) : .integer(amount))
            }
        }
    }

    package var summary: String {
        let words = limits.map { quantity, amount in
            let amount = quantity.isOfBytes ? "\(ByteCount(amount))" : "\(amount) requests"
            return "\(amount) a second \(quantity.words)"
        }
        return "allow the target \(words.joined(separator: ", ")) the disk of \(directory)"
    }

    package func notes(on target: TargetObservation) -> [String] {
        limits.contains { $0.quantity == .writtenBytes || $0.quantity == .writes }
            ? ["others that change files on the same file system may have to wait for what the target writes"] : []
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        limits.map { .lowerLimit(.io($0.quantity, $0.amount, directory: directory)) }
    }
}
