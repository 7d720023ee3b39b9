package import Cgroups
internal import Glibc
package import LinuxSystem
package import WorkerProtocol

/// A worker that this process started. It ends by itself when this is let go of, since that closes the connection.
package struct Worker: ~Copyable, Sendable {
    private let starting: StartingProcess
    /// Lines of `WorkerMessage` arrive here; its end says that the worker has ended.
    package let connection: OwnedDescriptor

    package var process: ProcessHandle { _read { yield starting.handle } }

    /// Starts a worker in a cgroup: as nobody, without capabilities. Call it on the `NamespaceThread`. It is at work when
    /// it says so.
    ///
    /// - Parameters:
    ///   - placement: Nil: in its parent's cgroup.
    ///   - files: What it has open beside the connection, from `WorkerTask.firstFile` on.
    ///   - network: A network namespace that it joins; nil for its parent's.
    ///   - outOfMemoryScore: Up to 1000, the first to be killed when memory runs out.
    package init(
        _ order: WorkerOrder, running executable: Executable, in placement: CgroupPlacement? = nil, files: [Int32] = [],
        network: Int32? = nil, outOfMemoryScore: Int32 = 1000
    ) throws(WorkerStartError) {
        var pair: [Int32] = [-1, -1]
        do throws(SystemCallError) {
            try systemCall("socketpair", on: "worker") {
                socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, &pair)
            }
        } catch {
            throw .connection(error)
        }
        let connection = OwnedDescriptor(adopting: pair[0])
        let theirs = OwnedDescriptor(adopting: pair[1])

        var spawnOrder = SpawnOrder(executable: executable, arguments: order.arguments)
        spawnOrder.environment = ["SWIFT_BACKTRACE=enable=no"]
        spawnOrder.descriptors = [
            SpawnOrder.Descriptor(source: theirs.rawValue, target: STDIN_FILENO),
            SpawnOrder.Descriptor(source: theirs.rawValue, target: STDOUT_FILENO),
        ]
        spawnOrder.descriptors += files.enumerated().map { index, file in
            SpawnOrder.Descriptor(source: file, target: WorkerTask.firstFile + Int32(index))
        }
        spawnOrder.namespaces = network.map { [$0] } ?? []
        spawnOrder.placement = placement
        spawnOrder.user = .nobody
        spawnOrder.outOfMemoryScore = outOfMemoryScore
        do throws(SpawnError) {
            starting = try spawnWithoutWaiting(spawnOrder)
        } catch {
            throw .spawn(error)
        }
        self.connection = connection
    }

    /// Why it ended without having been a worker.
    package func startFailure() -> SpawnError? { starting.failure() }

    /// Waits at most so long for the worker's first message, and returns if that says that it works.
    package func waitUntilReady(atMost limit: Duration) throws(WorkerStartError) {
        guard let line = try firstLine(atMost: limit) else {
            throw startFailure().map { .spawn($0) } ?? .noAnswer
        }
        switch WorkerMessage(line: line) {
        case .ready, .reached, .found, .missing: return
        case .failed(let reason): throw .failed(reason: reason)
        case nil: throw .failed(reason: "it said \(line.debugDescription)")
        }
    }

    /// What it says of so many things that it was asked for, or of as many as it has come to when the time is over, or when
    /// it says that it failed. Waits for it.
    package func answers(_ count: Int, atMost limit: Duration) throws(SystemCallError) -> [WorkerMessage] {
        let deadline = BootInstant.now + limit
        var answers: [WorkerMessage] = []
        do throws(WorkerStartError) {
            while answers.count < count, let line = try firstLine(atMost: deadline - .now) {
                guard let message = WorkerMessage(line: line) else {
                    return [.failed(reason: "it said \(line.debugDescription)")]
                }
                if message == .ready { continue }
                answers.append(message)
                if case .failed = message { break }
            }
        } catch .connection(let error) {
            throw error
        } catch {
            return [.failed(reason: "\(error)")]
        }
        return answers
    }

    /// Kills the worker, waits for it, and takes its exit status.
    package func end(atMost limit: Duration) throws(WorkerEndError) -> ProcessExit {
        do throws(SystemCallError) {
            if try process.kill(waitingAtMost: limit), let exit = try process.reap() { return exit }
        } catch {
            throw .system(error)
        }
        throw .stillRunning(process: process.id)
    }

    /// Nil when the worker ended, or the time passed, before there was one.
    private func firstLine(atMost limit: Duration) throws(WorkerStartError) -> String? {
        let deadline = BootInstant.now + limit
        let raw = connection.rawValue
        var line: [UInt8] = []
        do throws(SystemCallError) {
            while true {
                let left = max(0, (deadline - BootInstant.now).wholeNanoseconds / 1_000_000)
                var wait = pollfd(fd: raw, events: Int16(POLLIN), revents: 0)
                let ready = try systemCall("poll", on: "worker \(process.id)") { poll(&wait, 1, Int32(clamping: left)) }
                if ready == 0 || left == 0 { return nil }
                // A byte at a time: what follows the line is for later readers.
                var byte: UInt8 = 0
                let count = try systemCall("read", on: "worker \(process.id)") { read(raw, &byte, 1) }
                if count == 0 { return nil }
                // What is longer than any message is none.
                if byte == UInt8(ascii: "\n") || line.count == WorkerMessage.longestLine {
                    return String(decoding: line, as: UTF8.self)
                }
                line.append(byte)
            }
        } catch {
            throw .connection(error)
        }
    }
}
