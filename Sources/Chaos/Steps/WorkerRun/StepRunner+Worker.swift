import Cgroups
import ChaosModel
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
    let news: @Sendable (StepNews) -> Void
    var watches: [DescriptorWatch] = []
    /// When it was first told to end.
    var toldToEnd: BootInstant?
    /// Why it could not work, in its own words.
    var complaint: String?

    init(_ worker: consuming Worker, news: @escaping @Sendable (StepNews) -> Void) {
        self.worker = worker
        self.news = news
    }
}

extension StepRunner {
    /// How long a killed worker may take to end before its session counts as stuck. In a cgroup without CPU time left
    /// that is a few of its periods.
    private static let patience = Duration.seconds(5)

    func prepareWorker(_ task: WorkerTask, on target: ResolvedTarget) throws(Problem) -> Intent {
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
        return .runWorker(task, in: target.facts.cgroup)
    }

    func startWorker(
        _ task: WorkerTask, as key: WorkerKey, on target: ResolvedTarget, until deadline: BootInstant,
        news: @escaping @Sendable (StepNews) -> Void
    ) throws(StepError) {
        // The engine ends it at the deadline; a little later it ends by itself, should the engine hang.
        let order = WorkerOrder(
            session: key.session.text, deadline: (deadline + .seconds(1)).nanoseconds, task: task)
        let running = RunningWorker(try spawn(order, on: target), news: news)
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
    }

    private func spawn(_ order: WorkerOrder, on target: ResolvedTarget) throws(StepError) -> Worker {
        guard let workerProgram else { throw StepError("the worker's program could not be read") }
        let placement: CgroupPlacement
        do throws(CgroupFileError) {
            placement = try target.cgroup.placement()
        } catch {
            throw StepError("\(error)")
        }
        do throws(WorkerStartError) {
            return try thread.run { () throws(WorkerStartError) in
                try Worker(order, running: workerProgram, in: placement)
            }
        } catch {
            throw StepError("\(error)")
        }
    }

    /// A worker says one line, that it works or why not; in the second case it ends, which is seen by itself.
    private func workerSpoke(_ key: WorkerKey) {
        guard let running = workers[key] else { return }
        running.watches[0].cancel()
        var chunk = [UInt8](repeating: 0, count: 512)
        let count = chunk.withUnsafeMutableBytes { read(running.worker.connection.rawValue, $0.baseAddress, $0.count) }
        guard count > 0 else { return }
        let line = String(decoding: chunk[..<count].prefix { $0 != 0x0A }, as: UTF8.self)
        switch WorkerMessage(line: line) {
        case .ready: running.news(.workerReady)
        case .failed(let reason): running.complaint = reason
        case nil: running.complaint = "it said \(line.debugDescription)"
        }
    }

    private func workerEnded(_ key: WorkerKey) {
        guard let running = workers[key] else { return }
        running.watches[1].cancel()
        guard running.toldToEnd == nil else { return }
        if let exit = try? running.worker.process.reap() {
            running.news(.workerEnded([exit.words, running.complaint].compactMap(\.self).joined(separator: ": ")))
        }
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
        guard running.worker.process.waitUntilEnded(atMost: .milliseconds(20)) else {
            if now - first > Self.patience {
                return .done(.failed("worker \(running.worker.process.id) does not end although it was killed"))
            }
            return .unfinished(callAgainAfter: .milliseconds(20))
        }
        // Already taken when it had ended by itself.
        _ = try? running.worker.process.reap()
        for watch in running.watches { watch.cancel() }
        running.watches = []
        workers[key] = nil
        return .done(.restored)
    }

    /// Workers of an engine that is gone: they end with it, unless they are stopped or frozen.
    private func endLeftWorkers(of session: SessionID, in facts: TargetFacts.Cgroup) -> UndoProgress {
        let cgroup: Cgroup
        do throws(CgroupOpeningError) {
            cgroup = try cgroups.cgroup(at: facts.path)
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
