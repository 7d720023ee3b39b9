import LinuxSystem
import Testing
import WorkerProtocol

struct WorkerOrderTests {
    @Test(
        arguments: [
            (.cpu(load: 33.3, threads: 4, rampNanoseconds: 5), ["cpu", "33.3", "4", "5"]),
            (.memory(bytes: 1 << 40, rampNanoseconds: 0), ["memory", "1099511627776", "0"]),
            (.memory(bytes: 5, rampNanoseconds: 6, isHot: true), ["memory", "5", "6", "hot"]),
            (.lookUp(names: [["db.shop", "db"], ["web."]], servers: 2), ["look-up", "2", "db.shop,db", "web."]),
            (.disk(bytes: 4096, reserve: 1 << 30), ["disk", "4096", "1073741824"]),
            (
                .io(
                    IOLoad(readPercent: 30, blockSize: 8192, threads: 2, isDirect: true)!, bytes: 16384, reserve: 7),
                ["io", "30", "8192", "2", "direct", "16384", "7"]
            ),
            (
                .network(
                    NetworkLoad(
                        .udp, to: InternetAddress(bytes: [10, 1, 2, 3], port: 53), bitsPerSecond: 8000, blockSize: 64,
                        sockets: 8)!), ["network", "udp", "10.1.2.3:53", "8000", "64", "8"]
            ),
            (
                .network(
                    NetworkLoad(
                        .tcp, to: InternetAddress(bytes: [0xfd] + [UInt8](repeating: 0, count: 15), port: 65535),
                        bitsPerSecond: 10_000_000_000, blockSize: 65536, sockets: 1)!),
                ["network", "tcp", "[fd00::]:65535", "10000000000", "65536", "1"]
            ),
            (
                .cache(CacheLoad(rampNanoseconds: 5, isHot: true), bytes: 4096, reserve: 6),
                ["cache", "5", "4096", "6", "hot"]
            ),
            (.cache(CacheLoad(rampNanoseconds: 0, isHot: false), bytes: 1, reserve: 0), ["cache", "0", "1", "0"]),
        ] as [(WorkerTask, [String])])
    func `an order reads back as it was written`(task: WorkerTask, words: [String]) {
        let order = WorkerOrder(session: "s-1", deadline: 123_456_789_012, task: task)
        #expect(order.arguments == ["squall-worker", "s-1", "123456789012"] + words)
        #expect(WorkerOrder(arguments: order.arguments) == order)
    }

    @Test(arguments: [
        [], ["squall-worker"], ["other", "s", "1", "cpu", "50", "1"], ["squall-worker", "", "1", "cpu", "50", "1"],
        ["squall-worker", "s", "soon", "cpu", "50", "1"], ["squall-worker", "s", "1", "gpu", "50", "1"],
        ["squall-worker", "s", "1", "cpu", "0", "1"], ["squall-worker", "s", "1", "cpu", "101", "1"],
        ["squall-worker", "s", "1", "cpu", "nan", "1"], ["squall-worker", "s", "1", "cpu", "50", "0"],
        ["squall-worker", "s", "1", "cpu", "50"], ["squall-worker", "s", "1", "cpu", "50", "1", "more"],
        ["squall-worker", "s", "1", "io", "101", "8192", "1", "direct", "8192", "0"],
        ["squall-worker", "s", "1", "io", "50", "8000", "1", "direct", "8192", "0"],
        ["squall-worker", "s", "1", "io", "50", "8192", "0", "direct", "8192", "0"],
        ["squall-worker", "s", "1", "io", "50", "8192", "1", "crooked", "8192", "0"],
        ["squall-worker", "s", "1", "io", "50", "8192", "1", "direct", "4096", "0"],
        ["squall-worker", "s", "1", "memory", "0", "0"], ["squall-worker", "s", "1", "memory", "1", "1", "cold"],
        ["squall-worker", "s", "1", "memory", "1", "-1"],
        ["squall-worker", "s", "1", "look-up", "1"], ["squall-worker", "s", "1", "look-up", "4", "db"],
        ["squall-worker", "s", "1", "look-up", "1", ""],
        ["squall-worker", "s", "1", "network", "sctp", "10.1.2.3:53", "8000", "64", "1"],
        ["squall-worker", "s", "1", "network", "udp", "10.1.2.3", "8000", "64", "1"],
        ["squall-worker", "s", "1", "network", "udp", "10.1.2.3:0", "8000", "64", "1"],
        ["squall-worker", "s", "1", "network", "udp", "10.1.2.3:53", "7999", "64", "1"],
        ["squall-worker", "s", "1", "network", "udp", "10.1.2.3:53", "8000", "63", "1"],
        ["squall-worker", "s", "1", "network", "udp", "10.1.2.3:53", "8000", "64", "9"],
        ["squall-worker", "s", "1", "cache", "-1", "1", "0"], ["squall-worker", "s", "1", "cache", "0", "0", "0"],
        ["squall-worker", "s", "1", "cache", "0", "1", "-1"],
        ["squall-worker", "s", "1", "cache", "0", "1", "0", "cold"],
        ["squall-worker", "s", "1", "disk", "0", "0"], ["squall-worker", "s", "1", "disk", "1", "-1"],
    ])
    func `anything else is no order`(arguments: [String]) {
        #expect(WorkerOrder(arguments: arguments) == nil)
    }

    @Test(arguments: [
        WorkerMessage.ready, .failed(reason: "no threads: Resource temporarily unavailable"),
        .reached(bytes: 0, shortBecause: nil), .reached(bytes: 12, shortBecause: "No space left on device"),
    ])
    func `messages read back as they were written`(message: WorkerMessage) {
        #expect(message.line.last == "\n")
        #expect(WorkerMessage(line: String(message.line.dropLast())) == message)
    }

    @Test(arguments: ["", "hello", "ready now", "reached", "reached much", "reached -1", "failed"])
    func `anything else is no message`(line: String) {
        #expect(WorkerMessage(line: line) == nil)
    }
}
