import Glibc
import LinuxSystem
import Namespaces
import Processes
import TestKit
import Testing
import WorkerProtocol

/// Workers that send, to receivers in a network of their own. One after the other: each measures what arrives.
@Suite(.serialized, .enabled(if: geteuid() == 0, "needs root"))
struct NetworkWorkerTests {
    /// Longer than anything takes on a machine that does other things, too.
    private let patience = Duration.seconds(20)

    @Test(arguments: [(InternetTransport.udp, 1), (.udp, 3), (.tcp, 1), (.tcp, 3)])
    func `sends as fast as it is told to, and no faster`(transport: InternetTransport, count: Int) throws {
        let begin = BootInstant.now
        try inWorld(transport, bitsPerSecond: 8_000_000, sockets: count) { (receiver, worker) throws in
            var sources = try (transport == .tcp ? (0..<count).map { _ in try receiver.accepted().release() } : [])
            defer { for source in sources { close(source) } }
            if transport == .udp { sources = [dup(receiver.descriptor.rawValue)] }
            let first = try drain(sources, for: .milliseconds(500))
            let later = try drain(sources, for: .seconds(3))
            let most = 1e6 * ((BootInstant.now - begin) / .seconds(1) + 0.05 * Double(count)) + 70_000
            #expect(Double(first + later) <= most)
            // How much of it comes about is the machine's to say: what another test beside it leaves.
            #expect(later > 100_000)

            // What it says that it did, it did: all of it arrived, over loopback.
            try worker.process.send(signal: SIGSTOP)
            var rest = 0
            while case let more = try drain(sources, for: .milliseconds(300)), more > 0 { rest += more }
            let written = try ProcessIO(ofProcess: worker.process.id).handedOver
            // And some bytes as it started.
            let beside = written - Int64(first + later + rest)
            #expect((1..<NetworkLoad.blockSizes.lowerBound).contains(beside), "\(beside)")
            _ = try worker.end(atMost: patience)
            #expect(try drain(sources, for: .milliseconds(300)) == 0)
        }
    }

    @Test func `is in the network of its sockets, with nothing but them`() throws {
        try inWorld(.udp, sockets: 2) { (receiver, worker) throws in
            let process = worker.process.id
            let status = try TextFile.read("/proc/\(process)/status")
            #expect(status.contains("CapEff:\t0000000000000000\n") && status.contains("NoNewPrivs:\t1\n"))
            #expect(try WorkerTests.filterCount(of: "\(process)") == WorkerTests.filterCount(of: "self") + 1)
            let files = try TextFile.names(in: "/proc/\(process)/fd").map {
                try TextFile.destination(ofLink: "/proc/\(process)/fd/\($0)").prefix { $0 != ":" }
            }
            #expect(files.sorted() == ["/dev/null", "anon_inode", "socket", "socket", "socket", "socket"])
            _ = try worker.end(atMost: patience)
        }
    }

    @Test func `does not mind that nobody listens to its datagrams`() throws {
        try inWorld(.udp, bitsPerSecond: 8_000_000, isThere: false) { (_, worker) throws in
            let enough = try ProcessIO(ofProcess: worker.process.id).handedOver + 700_000
            let deadline = BootInstant.now + patience
            while try ProcessIO(ofProcess: worker.process.id).handedOver < enough {
                try #require(BootInstant.now < deadline)
                usleep(10_000)
            }
            #expect(worker.process.isRunning == true)
            _ = try worker.end(atMost: patience)
        }
    }

    @Test func `says who refuses its connection`() throws {
        try inWorld(.tcp, isThere: false, waits: false) { (receiver, worker) throws in
            let reason = "connect \(receiver.address): Connection refused"
            #expect(throws: WorkerStartError.failed(reason: reason)) { try worker.waitUntilReady(atMost: patience) }
            #expect(worker.process.waitUntilEnded(atMost: patience) == true)
            #expect(try worker.process.reap() == .exited(WorkerExitStatus.failed.rawValue))
        }
    }

    @Test func `does not wait for ever for a sink that does not answer`() throws {
        try inWorld(.tcp, isFull: true, waits: false) { (receiver, worker) throws in
            let reason = "connect \(receiver.address): Connection timed out"
            #expect(throws: WorkerStartError.failed(reason: reason)) { try worker.waitUntilReady(atMost: patience) }
            #expect(worker.process.waitUntilEnded(atMost: patience) == true)
        }
    }

    @Test func `ends when its connection does, and says so`() throws {
        try inWorld(.tcp) { (receiver, worker) throws in
            let source = try receiver.accepted()
            _ = try source.readSome()
            _ = consume source
            #expect(worker.process.waitUntilEnded(atMost: patience) == true)
            #expect(try worker.process.reap() == .exited(WorkerExitStatus.failed.rawValue))
            let said = try #require(try line(of: worker))
            let endings = ["Connection reset by peer", "Broken pipe"]
            #expect(
                endings.map { .failed(reason: "the connection to \(receiver.address) ended: \($0)") }.contains(said))
        }
    }

    @Test func `throws away what its sink sends, and takes up where it was made to wait`() throws {
        try inWorld(.tcp, bitsPerSecond: 80_000_000) { (receiver, worker) throws in
            let source = try receiver.accepted()
            let flags = fcntl(source.rawValue, F_GETFL)
            #expect(fcntl(source.rawValue, F_SETFL, flags | O_NONBLOCK) == 0)
            let block = [UInt8](repeating: 7, count: 1 << 16)
            // Nothing is read of it meanwhile, so that it has no room to send.
            var taken = 0
            let deadline = BootInstant.now + patience
            while taken < 16 << 20, BootInstant.now < deadline {
                let count = write(source.rawValue, block, block.count)
                if count > 0 { taken += count } else { usleep(1000) }
            }
            #expect(taken >= 16 << 20)
            var drained = 0
            while drained <= 1 << 20, BootInstant.now < deadline {
                drained += try drain([source.rawValue], for: .milliseconds(100))
            }
            #expect(drained > 1 << 20)
            #expect(worker.process.isRunning == true)
            _ = try worker.end(atMost: patience)
        }
    }

    @Test func `leaves nothing to be sent when it is killed`() throws {
        try inWorld(.tcp, bitsPerSecond: 800_000_000) { (receiver, worker) throws in
            let source = try receiver.accepted()
            // Until the sink's buffer is full, and its own.
            usleep(500_000)
            _ = try worker.end(atMost: patience)
            var ended: Errno?
            for _ in 0..<1000 where ended == nil {
                do throws(SystemCallError) {
                    if try source.readSome() == 0 { break }
                } catch {
                    ended = error.errno
                }
            }
            #expect(ended == Errno(rawValue: ECONNRESET))
        }
    }

    // MARK: The world

    /// A worker in a cgroup and a network of its own, and a receiver at the address that it sends to.
    ///
    /// - Parameters:
    ///   - isThere: Otherwise nobody listens at the address.
    ///   - isFull: Then whoever connects gets no answer.
    ///   - waits: Until the worker is at work.
    private func inWorld(
        _ transport: InternetTransport, bitsPerSecond: Int64 = 1_000_000, sockets: Int = 1, isThere: Bool = true,
        isFull: Bool = false, waits: Bool = true, _ body: (borrowing Receiver, borrowing Worker) throws -> Void
    ) throws {
        let temporary = try TemporaryCgroup()
        try inLoopbackNetwork { (network) throws in
            let receiver = try network.receiver(transport, at: [127, 0, 0, 1], backlog: isFull ? 0 : 16)
            var others: [Int32] = []
            defer { for other in others { close(other) } }
            if isFull {
                for _ in 0..<3 {
                    others.append(try network.connected(to: receiver.address, over: .tcp).release())
                }
                usleep(100_000)
            }
            if !isThere { try receiver.stop() }
            let load = try #require(
                NetworkLoad(
                    transport, to: receiver.address, bitsPerSecond: bitsPerSecond, blockSize: 1000, sockets: sockets))
            var files: [Int32] = []
            defer { for file in files { close(file) } }
            for _ in 0..<sockets {
                files.append(try network.connected(to: receiver.address, over: transport).release())
            }
            let worker = try WorkerTests().start(
                .network(load), files: files, network: network.descriptor.rawValue, in: temporary)
            for file in files { close(file) }
            files = []
            if waits { try worker.waitUntilReady(atMost: patience) }
            try body(receiver, worker)
        }
    }

    /// Reads what arrives, for so long, and returns how much it was.
    private func drain(_ sources: [Int32], for time: Duration) throws -> Int {
        let deadline = BootInstant.now + time
        var waits = sources.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        var sum = 0
        while true {
            let left = (deadline - BootInstant.now).wholeNanoseconds / 1_000_000
            if left <= 0 { return sum }
            if poll(&waits, nfds_t(waits.count), Int32(left)) < 1 { return sum }
            for wait in waits where wait.revents != 0 {
                // A connection that was reset says so once; then there is nothing more.
                sum += max(0, recv(wait.fd, &buffer, buffer.count, Int32(MSG_DONTWAIT)))
            }
            if waits.allSatisfy({ $0.revents & Int16(POLLHUP) != 0 }) { return sum }
        }
    }
}
