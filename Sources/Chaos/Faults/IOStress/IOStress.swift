package import ChaosModel
package import Steps
import WorkerProtocol

/// Keeps a disk of the target's busy.
package struct IOStress: Fault {
    package static let kind = "io-stress"
    package static let summary = "keeps a disk busy that the target uses"
    package static let explanation = """
        A process of the agent's own, without capabilities, runs in the target's cgroup, writes a file without a name in a \
        directory of the target, and then reads and writes blocks of it at random places, as fast as the disk and the \
        target's limits let it. The session is active when the file is begun; the event `worker-reached` says when the load \
        begins. The file takes its size of the disk; when others take of the reserve that is to stay free, the session \
        ends. The kernel itself frees the file when everything of the agent's dies. The path is followed inside the target's root, and nowhere else; of a unit or a process of the \
        host's own, not into what pods, containers and the agent keep on the node. What the disk \
        is, others use too: everything on the node that reads or writes there is hit.
        """
    package static let reach = Reach.node
    package static let needs: [NodeFeature] = [.workers]
    package static let makesFiles = true
    package static let canHitHost = true
    package static let parameters = [
        Parameter("path", .path, standard: "/tmp", meaning: "the directory, as the target sees it"),
        Parameter(
            "size", .bytes(ByteCount(1 << 20)...ByteCount(1 << 40)), standard: "64MiB", meaning: "how large the file is"
        ),
        Parameter(
            "readPercent", .percentage(0...100), standard: 50, meaning: "share of calls that read; the others write"),
        Parameter(
            "blockSize", .bytes(ByteCount(IOLoad.blockSizes.lowerBound)...ByteCount(IOLoad.blockSizes.upperBound)),
            standard: "4KiB", meaning: "bytes of each call, a multiple of 4KiB and at most the size"),
        Parameter(
            "workers", .integer(1...Int64(IOLoad.mostThreads)), standard: 1,
            meaning: "threads, each of which waits for one call at a time"),
        Parameter(
            "direct", .boolean, standard: true,
            meaning:
                "whether calls go past the kernel's caches; without it, reads of a file that fits into memory never reach "
                + "the disk, and each worker makes its writes durable after each MiB"
        ),
        Parameter(
            "reserve", .percentage(1...90), standard: 10,
            meaning:
                "share of the file system that stays free: without it the file is not begun, and when others take of it "
                + "the session ends"),
    ]
    package static let examples = [
        FaultExample("small blocks, half of them written", [:]),
        FaultExample(
            "a writer of large blocks, through the caches",
            ["readPercent": 0, "blockSize": "1MiB", "direct": false, "size": "32MiB"]),
    ]

    private let directory: String
    private let size: ByteCount
    private let load: IOLoad
    private let reserve: Percentage

    package init(_ values: ParameterValues) throws(Problem) {
        directory = values.text("path")
        size = values.bytes("size")
        reserve = values.percentage("reserve")
        let load = IOLoad(
            readPercent: Int(values.percentage("readPercent").value.rounded()),
            blockSize: values.bytes("blockSize").value,
            threads: Int(values.integer("workers")), isDirect: values.boolean("direct"))
        guard let load, load.blockSize <= size.value else {
            throw Problem(
                .fieldInvalid, "a block is a multiple of 4KiB, and at most the file's size",
                field: "parameters.blockSize",
                hint: "as 4KiB, 64KiB, 1MiB")
        }
        self.load = load
    }

    package var summary: String { "load the disk of \(directory): a worker \(load.words)" }

    package func notes(on target: TargetObservation) -> [String] {
        ["others that use the same disk are hit too; \(reserve) of it stays free"]
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] {
        [
            .fillDisk(
                DiskFill(
                    directory: directory, amount: .bytes(size), reserve: reserve, isVisible: false, load: .io(load)))
        ]
    }
}
