import Cgroups
import ChaosModel
import DeadMan
import Dispatch
import Filesystems
import Glibc
import LinuxSystem
import Namespaces
import Processes
import Targets
import WorkerProtocol

/// A worker's name among those of this agent.
struct WorkerKey: Hashable {
    let session: SessionID
    let step: Int
}

/// A worker that this engine started, watched until it ends.
final class RunningWorker {
    let worker: Worker
    let task: WorkerTask
    let cgroup: Cgroup
    let news: @Sendable (StepNews) -> Void
    let startedAt = BootInstant.now
    var watches: [DescriptorWatch] = []
    /// Looks whether the kernel kills for want of memory, as long as the worker takes some.
    var memoryWatch: (any DispatchSourceTimer)?
    /// Such kills when the worker began, and when its fellows were last looked at; nil where the kernel does not count
    /// them.
    let killsAtStart: Int64?
    var seenKills: Int64?
    var toldKills: Int64?
    /// Whoever waits until it is at work.
    var readiness: CheckedContinuation<Result<Void, StepError>, Never>?
    /// The beginning of a line.
    var unread: [UInt8] = []
    /// It ends by itself when it is overdue, but for one that is frozen with its target.
    var slot: DeadMansProcess.Slot?
    /// When it was first told to end.
    var toldToEnd: BootInstant?
    var hasEnded = false
    /// Why it could not work, in its own words.
    var complaint: String?
    /// Why we killed it before its time.
    var givenUp: String?
    /// What it achieved when it was last looked at.
    var effect: Effect?
    /// What it had read and written when its file was there.
    var ioAtStart: (io: ProcessIO, instant: BootInstant)?
    /// When it said that it is at work.
    var readyAt: BootInstant?

    init(
        _ worker: consuming Worker, for task: WorkerTask, in cgroup: Cgroup, knownKills: Int64?,
        news: @escaping @Sendable (StepNews) -> Void
    ) {
        self.worker = worker
        self.task = task
        self.cgroup = cgroup
        self.killsAtStart = knownKills
        self.seenKills = knownKills
        self.toldKills = knownKills
        self.news = news
    }
}

extension StepRunner {
    /// How long a killed worker may take to end before its session counts as stuck. In a cgroup without CPU time left
    /// that is a few of its periods.
    private static let patience = Duration.seconds(5)
    /// How long a worker may take to say that it is at work. In a cgroup that has used up its CPU time it takes long to
    /// come to its program.
    private static let startPatience = Duration.seconds(10)

    func prepareWorker(
        _ task: WorkerTask, outOfMemoryScore: Int32, on target: ResolvedTarget
    ) throws(Problem) -> Intent {
        try refuseIfFrozen(target)
        if case .network(let load) = task {
            try refuseUnreachable(load.sink, from: target)
            try refuseExcluded(load.sink, from: target)
        }
        if let words = excessThreads(of: task, on: target) {
            throw Problem(
                .limitExceeded, words, field: "target",
                hint: "ask for fewer workers, or wait until sessions have ended")
        }
        return .runWorker(task, outOfMemoryScore: outOfMemoryScore, in: target.facts.cgroup)
    }

    /// On the whole host all sessions together have a thread for each CPU, so that whoever logs in has a fair share. Nil
    /// where there is room.
    private func excessThreads(of task: WorkerTask, on target: ResolvedTarget) -> String? {
        guard target.cgroup.isRoot, case .cpu(_, let wanted, _) = task else { return nil }
        var busy = 0
        for running in workers.values where running.cgroup.isRoot && !running.hasEnded {
            if case .cpu(_, let threads, _) = running.task { busy += threads }
        }
        guard busy + wanted > target.cpuCount else { return nil }
        return "\(wanted) threads beside the \(busy) that burn CPU time of the whole host already are more than its "
            + "\(target.cpuCount) CPUs"
    }

    func refuseIfFrozen(_ target: ResolvedTarget) throws(Problem) {
        let isFrozen: Bool
        do throws(CgroupFileError) {
            isFrozen = try target.cgroup.isFrozen()
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        if isFrozen {
            throw Problem(
                .targetRefused, "the target is frozen: nothing can be started in its cgroup", field: "target")
        }
    }

    /// Returns when the worker is at work.
    ///
    /// - Parameter files: What the worker is given to work on; open until this returns.
    func startWorker(
        _ task: WorkerTask, outOfMemoryScore: Int32, files: [Int32] = [], as key: WorkerKey,
        on target: ResolvedTarget, until deadline: BootInstant, news: @escaping @Sendable (StepNews) -> Void
    ) async throws(StepError) {
        let knownKills: Int64?
        do throws(CgroupFileError) {
            knownKills = try target.cgroup.outOfMemoryKills()
        } catch {
            throw StepError("\(error)")
        }
        // Others may have begun since this was prepared.
        if let words = excessThreads(of: task, on: target) { throw StepError(words) }
        // The engine ends it at the deadline; a little later it ends by itself, should the engine hang.
        let order = WorkerOrder(
            session: key.session.text, deadline: (deadline + .seconds(1)).nanoseconds, task: task)
        let worker = try spawn(order, outOfMemoryScore: outOfMemoryScore, files: files, on: target)
        let running = RunningWorker(worker, for: task, in: target.cgroup, knownKills: knownKills, news: news)
        workers[key] = running
        // The worker's descriptors stay open until nobody looks at them.
        nonisolated(unsafe) let watched = running
        let keepOpen = { @Sendable in withExtendedLifetime(watched) {} }
        running.watches = [
            DescriptorWatch(running.worker.connection.rawValue, on: executor.queue, onCancel: keepOpen) { [weak self] in
                self?.assumeIsolated { $0.workerSpoke(key) }
            },
            DescriptorWatch(running.worker.process.descriptor.rawValue, on: executor.queue, onCancel: keepOpen) {
                [weak self] in self?.assumeIsolated { $0.workerEnded(key) }
            },
        ]
        var end = DeadMansProgram()
        end.kill()
        running.slot = try entrust(
            end, tag: key.workerTag, files: [running.worker.process.descriptor.rawValue],
            overdue: deadline + Self.grace)
        try await waitUntilReady(running, key)
        if case .memory = task { watchMemory(of: running, key) }
    }

    private func spawn(
        _ order: WorkerOrder, outOfMemoryScore: Int32, files: [Int32], on target: ResolvedTarget
    ) throws(StepError) -> Worker {
        guard let workerProgram else { throw StepError("the worker's program could not be read") }
        let placement: CgroupPlacement
        do throws(CgroupFileError) {
            placement = try target.cgroup.placement()
        } catch {
            throw StepError("\(error)")
        }
        func start(inNetwork network: Int32?) throws(StepError) -> Worker {
            do throws(WorkerStartError) {
                return try spawner.run { () throws(WorkerStartError) in
                    try Worker(
                        order, running: workerProgram, in: placement, files: files, network: network,
                        outOfMemoryScore: outOfMemoryScore)
                }
            } catch {
                throw StepError("\(error)")
            }
        }
        guard case .network = order.task else { return try start(inNetwork: nil) }
        let worker = try target.withNetworkNamespace { (namespace) throws(StepError) in
            try start(inNetwork: namespace.descriptor.rawValue)
        }
        guard let worker else { throw Self.withoutNetwork }
        return worker
    }

    private func waitUntilReady(_ running: RunningWorker, _ key: WorkerKey) async throws(StepError) {
        nonisolated(unsafe) weak let awaited = running
        executor.queue.asyncAfter(deadline: .now() + Self.startPatience.seconds) { [weak self] in
            self?.assumeIsolated {
                // The key may be another worker's by now, of a session that has followed its target.
                guard let running = $0.workers[key], running === awaited else { return }
                running.settle(.failure(StepError("the worker did not come to work in time")))
            }
        }
        try await withCheckedContinuation { running.readiness = $0 }.get()
    }

    /// A line for each thing that a worker says.
    private func workerSpoke(_ key: WorkerKey) {
        guard let running = workers[key] else { return }
        var chunk = [UInt8](repeating: 0, count: 512)
        let count = chunk.withUnsafeMutableBytes { read(running.worker.connection.rawValue, $0.baseAddress, $0.count) }
        guard count > 0 else {
            // It has ended, which is seen by itself.
            if count == 0 || Errno.current != .interrupted { running.watches[0].cancel() }
            return
        }
        running.unread += chunk[..<count]
        if running.unread.count > WorkerMessage.longestLine {
            // No worker of ours, or not any more: it goes, and its session with it.
            running.unread = []
            running.watches[0].cancel()
            running.giveUp(because: "it said more than a worker says")
        }
        while let end = running.unread.firstIndex(of: 0x0A) {
            let line = String(decoding: running.unread[..<end], as: UTF8.self)
            running.unread.removeSubrange(...end)
            switch WorkerMessage(line: line) {
            case .ready:
                running.readyAt = .now
                running.settle(.success(()))
            case .reached(let bytes, let reason):
                if case .io = running.task {
                    running.ioAtStart = (try? ProcessIO(ofProcess: running.worker.process.id)).map { ($0, .now) }
                }
                running.news(.workerReached(ByteCount(bytes), shortBecause: reason))
            case .failed(let reason): running.complaint = reason
            case .found, .missing, nil: running.complaint = "it said \(line.debugDescription)"
            }
        }
    }

    private func workerEnded(_ key: WorkerKey) {
        guard let running = workers[key] else { return }
        running.watches[1].cancel()
        running.memoryWatch?.cancel()
        guard running.toldToEnd == nil else { return }
        // What it said last, and what it used, are still to be had.
        workerSpoke(key)
        if let effect = try? measure(running) { running.effect = effect }
        running.hasEnded = true
        let kills = (self.kills(in: running) ?? 0) - (running.killsAtStart ?? 0)
        do throws(SystemCallError) {
            guard let exit = try running.worker.process.reap() else { return }
            let isByKernel = kills > 0 && exit == .killed(signal: SIGKILL) && running.givenUp == nil
            // All the machine's are counted there: it may have been another's.
            let isOutOfMemory = isByKernel && !running.cgroup.isRoot
            let reason = running.givenUp ?? running.complaint ?? running.worker.startFailure()?.description
            let guess = isByKernel && !isOutOfMemory ? "memory ran out somewhere on the host meanwhile" : nil
            let words = [exit.words, reason, guess].compactMap(\.self).joined(separator: ": ")
            if running.settle(.failure(StepError("the worker ended: \(words)"))) { return }
            running.news(.workerEnded(words, outOfMemory: isOutOfMemory))
        } catch {
            running.news(.workerEnded("\(error)", outOfMemory: false))
        }
    }

    // MARK: What it achieves

    /// Once a second, as long as the worker holds memory: whether others need it, or were killed for it.
    func watchMemory(of running: RunningWorker, _ key: WorkerKey) {
        guard !running.hasEnded, running.toldToEnd == nil else { return }
        let timer = DispatchSource.makeTimerSource(queue: executor.queue)
        timer.schedule(deadline: .now() + 1, repeating: 1, leeway: .milliseconds(100))
        timer.setEventHandler { [weak self] in
            self?.assumeIsolated { runner in
                guard let running = runner.workers[key], !running.hasEnded else { return }
                if let effect = try? runner.measure(running) { running.effect = effect }
                if runner.leaveReserve(running) { return }
                // The kernel counts a kill before the victim is gone: what is counted now is told with the next look, if
                // this worker still runs then, for its own death is told by its own watch.
                let kills = runner.kills(in: running)
                let others = (running.seenKills ?? 0) - (running.toldKills ?? 0)
                running.toldKills = running.seenKills
                running.seenKills = kills
                if others > 0 { running.news(.outOfMemory(kills: others)) }
            }
        }
        timer.resume()
        running.memoryWatch = timer
    }

    /// Of a worker that only the machine's size holds back: where others need what it left to them, it goes.
    private func leaveReserve(_ running: RunningWorker) -> Bool {
        // What cannot be read now is read in a second.
        guard let memory = try? NodeMemory.current(), memory.isSpent else { return false }
        // A limit that cannot be read bounds nothing.
        let limit = (try? running.cgroup.memoryLimit()).map { ByteCount($0.bytes) }
        guard !memory.isSpared(by: limit) else { return false }
        running.giveUp(
            because: "the host has only \(memory.available) of memory left, of the \(memory.hostReserve) in reserve")
        return true
    }

    private func kills(in running: RunningWorker) -> Int64? {
        guard case .success(let kills) = Result(catching: running.cgroup.outOfMemoryKills) else { return nil }
        return kills
    }

    private func measure(_ running: RunningWorker) throws(SystemCallError) -> Effect? {
        let id = running.worker.process.id
        switch running.task {
        case .cpu:
            return .cpu(used: try ProcessFacts(ofProcess: id).cpuTime, over: .now - running.startedAt)
        case .memory:
            return try anonymousMemory(ofProcess: id).map { .memory(resident: ByteCount($0)) }
        case .network(let load):
            guard let begin = running.readyAt else { return nil }
            return .sent(load, written: try ProcessIO(ofProcess: id).handedOver, over: .now - begin)
        case .lookUp: return nil
        case .disk, .cache:
            // Asked of a file system, which may never answer: see `effectOnFile(of:)`.
            return nil
        case .io:
            // Before that it makes its file, which is no load yet.
            guard let begin = running.ioAtStart else { return nil }
            let now = try ProcessIO(ofProcess: id)
            return .io(
                read: ByteCount(max(0, now.read - begin.io.read)),
                written: ByteCount(max(0, now.written - begin.io.written)),
                operations: IOOperations(
                    reads: max(0, now.readCalls - begin.io.readCalls),
                    writes: max(0, now.writeCalls - begin.io.writeCalls)),
                over: .now - begin.instant)
        }
    }

    /// What the worker has achieved so far; nil when there is none, or it has ended too early to tell. What cannot be read
    /// any more stays as it was seen last.
    func effect(of key: WorkerKey) async -> Effect? {
        guard let running = workers[key] else { return nil }
        if running.hasEnded { return running.effect }
        if let effect = await effectOnFile(of: running) {
            // Another process has the number only when this one was reaped.
            if workers[key] === running, !running.hasEnded { running.effect = effect }
        } else if let effect = try? measure(running) {
            running.effect = effect
        }
        return running.effect
    }

    /// Nil where the worker has no file to be asked about, or nobody answers in time.
    private func effectOnFile(of running: RunningWorker) async -> Effect? {
        let id = running.worker.process.id
        let look: @Sendable () throws(SystemCallError) -> Effect
        switch running.task {
        case .disk:
            look = { () throws(SystemCallError) in
                .disk(allocated: ByteCount(try allocatedBytes(ofDescriptor: WorkerTask.diskFile, in: id)))
            }
        case .cache:
            look = { () throws(SystemCallError) in
                .cache(resident: ByteCount(try cachedBytes(ofDescriptor: WorkerTask.diskFile, in: id)))
            }
        case .cpu, .memory, .io, .network, .lookUp: return nil
        }
        return try? await inTime(atMost: .seconds(1), on: "the file of worker \(id)", look)
    }

    func endWorker(_ key: WorkerKey, in cgroup: TargetFacts.Cgroup) -> UndoProgress {
        guard let running = workers[key] else { return endLeftWorkers(of: key.session, in: cgroup) }
        let now = BootInstant.now
        let first = running.toldToEnd ?? now
        running.toldToEnd = first
        do {
            if running.worker.process.isRunning { try running.worker.process.send(signal: SIGKILL) }
        } catch {
            // Ended between the two calls.
            if error.errno != .noProcess { return .done(.failed("\(error)")) }
        }
        guard running.worker.process.waitUntilEnded(atMost: .zero) else {
            if now - first > Self.patience {
                return .done(.failed("worker \(running.worker.process.id) does not end although it was killed"))
            }
            return .unfinished(callAgainAfter: .milliseconds(5))
        }
        if let slot = running.slot { deadMan?.letGo(slot) }
        // Already taken when it had ended by itself.
        _ = try? running.worker.process.reap()
        for watch in running.watches { watch.cancel() }
        running.watches = []
        running.memoryWatch?.cancel()
        workers[key] = nil
        return .done(.restored)
    }

    /// Workers of an engine that is gone: they end with it, unless they are stopped or frozen.
    private func endLeftWorkers(of session: SessionID, in facts: TargetFacts.Cgroup) -> UndoProgress {
        let cgroup: Cgroup
        do throws(CgroupOpeningError) {
            cgroup = try facts.isRoot ? cgroups.rootCgroup() : cgroups.cgroup(at: facts.path)
        } catch {
            if case .system(let error) = error, error.errno == .noEntry { return .done(.alreadyRestored) }
            return .done(.failed("\(error)"))
        }
        // Another cgroup has the name now, and holds nothing of ours.
        guard cgroup.id == facts.id else { return .done(.alreadyRestored) }
        do throws(WorkerEndError) {
            let left = try Processes.workers(in: cgroup, session: session.text)
            for worker in left { try worker.end(atMost: .milliseconds(100)) }
            return .done(left.isEmpty ? .alreadyRestored : .restored)
        } catch {
            return .done(.failed("\(error)"))
        }
    }
}

extension RunningWorker {
    /// Kills it before its time; its watch tells why.
    func giveUp(because reason: String) {
        if givenUp == nil { givenUp = reason }
        // One that has ended is seen by itself.
        _ = try? worker.process.send(signal: SIGKILL)
    }

    /// Tells whoever waits for it to be at work. False when nobody does.
    @discardableResult
    func settle(_ result: Result<Void, StepError>) -> Bool {
        guard let waiting = readiness else { return false }
        readiness = nil
        waiting.resume(returning: result)
        return true
    }
}

/// Nil for a process that has ended.
private func anonymousMemory(ofProcess id: Int32) throws(SystemCallError) -> Int64? {
    let status = try TextFile.read("/proc/\(id)/status")
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix("RssAnon:") }) else { return nil }
    return Int64(line.filter(\.isNumber)).map { $0 * 1024 }
}
