package import Cgroups
package import ChaosModel
package import DeadMan
import Dispatch
package import LinuxSystem
package import Namespaces
package import Netlink
package import Processes
import Systemd
package import Targets

/// Why a step was not performed. What it may have changed has still to be undone.
package struct StepError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// What happens to a step while its session lives.
package enum StepNews: Sendable {
    /// A worker holds so much, and takes no more: all that was asked, or what the reason says.
    case workerReached(ByteCount, shortBecause: String?)
    /// It ended, and nobody had told it to.
    case workerEnded(String, outOfMemory: Bool)
    /// What its hosts' names lead to has changed, or could not be told.
    case hosts(String)
    /// So many processes of the target's cgroup were killed because memory ran out.
    case outOfMemory(kills: Int64)
    /// A container that was being stopped is not.
    case stopFailed(String)
    /// All that it was to do is done.
    case completed
}

/// How far an undo came.
package enum UndoProgress: Sendable {
    case done(UndoOutcome)
    /// Under way: call again after a while.
    case unfinished(callAgainAfter: Duration)
}

/// What several sessions share, and the dead-man's process undoes as a whole at the first one's deadline.
protocol Entrusted: AnyObject {
    var slot: DeadMansProcess.Slot? { get set }
    /// Somebody else has undone it: that is no drift.
    func wasTakenBack()
}

/// The only place that changes the kernel. What several sessions share is changed without a pause in between, so never by
/// two at once; whatever may take long (a process that starts, a file system that is asked) is waited for elsewhere.
package actor StepRunner {
    /// How long after its deadline a session is overdue.
    static let grace = Duration.seconds(1)

    /// Returns in a turn of its own: not while a step hangs.
    package func turn() {}

    let executor = DispatchExecutor(label: "squall.steps")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let thread: NamespaceThread
    /// Starts workers, which end when it does.
    let spawner: NamespaceThread
    let cgroups: CgroupTree
    let systemd = SystemdManager()
    /// Nothing is taken back with it, so an engine recovers before it has one.
    var workerProgram: Executable?

    /// Undoes what is overdue when this process does not; nil as long as nothing is performed.
    var deadMan: DeadMansProcess?
    private var deadMansWatch: DescriptorWatch?

    /// Nothing is taken back with them, either.
    var endpoints: NodeEndpoints?

    /// By which packets of one cgroup are told from all others in the node's own network, and that network.
    var hostTraffic: (classifiers: CgroupClassifiers, network: UInt64)?

    /// The networks for which names are being looked up.
    var lookedUp: Set<TargetFacts.NetworkNamespace> = []

    /// The namespaces in which sessions have layers.
    var networks: [TargetFacts.NetworkNamespace: ShapedNetwork] = [:]
    /// Where interfaces are deleted.
    let deletions = DeletionQueues(label: "squall.deletions", count: 32)
    /// The cgroups' limits that sessions have lowered.
    var limits: [LimitKey: LoweredLimits] = [:]
    var workers: [WorkerKey: RunningWorker] = [:]

    /// The services that systemd was told to stop or to restart.
    var services: [WorkerKey: ServiceOrder] = [:]

    /// The wall clock, while a session has it: one at a time.
    var clocks: [WorkerKey: ClockOrder] = [:]
    /// Orders to take the host down: one at a time.
    var shutdowns: [WorkerKey: PendingShutdown] = [:]

    /// How many processes got a signal.
    var signalled: [WorkerKey: Int] = [:]

    /// Nothing is taken back with it, so an engine recovers before it has one.
    var stopper: (any ContainerStopper)?
    /// The containers that were told to stop.
    var stops: [WorkerKey: RunningStop] = [:]

    /// The agent's own, in which no file is filled for a part of the host.
    var stateDirectory: String?
    /// The directories in which workers of this engine fill files.
    var filled: [WorkerKey: FilledDirectory] = [:]
    /// Their files with names, entrusted to the dead-man's process.
    var removals: [WorkerKey: DeadMansProcess.Slot] = [:]

    /// - Parameters:
    ///   - thread: Enters namespaces.
    ///   - spawner: Starts workers, which end when it does.
    package init(thread: NamespaceThread, spawner: NamespaceThread, cgroups: CgroupTree) {
        self.thread = thread
        self.spawner = spawner
        self.cgroups = cgroups
    }

    package func use(workerProgram: Executable) {
        self.workerProgram = workerProgram
    }

    /// From here on these are excluded from whatever happens to a target's network.
    package func use(endpoints: sending NodeEndpoints) {
        self.endpoints = endpoints
    }

    /// From here on layers in the network namespace of this inode may be about single cgroups.
    package func use(classifiers: sending CgroupClassifiers, inNetwork inode: UInt64) {
        hostTraffic = (classifiers, inode)
        // What an earlier engine left there may not have been taken back yet.
        for (facts, network) in networks where facts.inode == inode { network.shaper.classifiers = classifiers }
    }

    package func use(stateDirectory: String) {
        self.stateDirectory = stateDirectory
    }

    package func use(stopper: any ContainerStopper) {
        self.stopper = stopper
    }

    /// From here on everything that is performed is entrusted to this process too.
    package func use(deadMan: sending DeadMansProcess) {
        self.deadMan = deadMan
        deadMan.onReplacement = { [weak self] in self?.assumeIsolated { $0.watchDeadMan() } }
        watchDeadMan()
    }

    /// Ends it. Whatever is still entrusted to it, it undoes at its deadline.
    package func dismissDeadMan() {
        deadMansWatch?.cancel()
        deadMansWatch = nil
        deadMan?.end()
        deadMan = nil
    }

    /// Entrusts a program that is not to be changed. Nil where there is nobody to entrust it to.
    func entrust(
        _ program: DeadMansProgram, tag: UInt64, files: [Int32], target: Int32? = nil, overdue: BootInstant
    ) throws(StepError) -> DeadMansProcess.Slot? {
        guard let deadMan else { return nil }
        do throws(DeadMansError) {
            let slot = try deadMan.entrust(program, tag: tag, files: files, target: target, deadline: overdue)
            _ = deadMan.arm(slot)
            return slot
        } catch {
            throw StepError("\(error)")
        }
    }

    /// Takes what sessions share to change it. False when it was overdue, and has been taken back.
    func claim(_ shared: some Entrusted) -> Bool {
        guard let deadMan, let slot = shared.slot, !deadMan.claim(slot) else { return true }
        letGo(shared)
        shared.wasTakenBack()
        return false
    }

    /// Ends our claim. False when it had lapsed, and everything has been taken back.
    func handOver(_ shared: some Entrusted) -> Bool {
        guard let deadMan, let slot = shared.slot, !deadMan.arm(slot) else { return true }
        letGo(shared)
        shared.wasTakenBack()
        return false
    }

    func letGo(_ shared: some Entrusted) {
        if let slot = shared.slot { deadMan?.letGo(slot) }
        shared.slot = nil
    }

    private func watchDeadMan() {
        deadMansWatch?.cancel()
        deadMansWatch = deadMan.map { deadMan in
            // Open as long as anybody looks at it.
            nonisolated(unsafe) let process = deadMan.processDescriptor
            return DescriptorWatch(
                process.rawValue, on: executor.queue, onCancel: { withExtendedLifetime(process.holder) {} },
                onReadable: { [weak self] in self?.assumeIsolated { $0.deadManEnded(process.rawValue) } })
        }
    }

    /// Without it nobody would undo what is overdue: another one takes its place at once, or as soon as that works.
    private func deadManEnded(_ descriptor: Int32) {
        // Somebody who needed it may have been sooner.
        guard let deadMan, deadMan.processDescriptor.rawValue == descriptor else { return }
        deadMansWatch?.cancel()
        do {
            try deadMan.replace()
        } catch {
            executor.queue.asyncAfter(deadline: .now() + 1) { [weak self] in
                self?.assumeIsolated { $0.deadManEnded(descriptor) }
            }
        }
    }

    /// Reads what undoing the steps will need. Changes nothing.
    package func prepare(_ steps: [Step], on target: ResolvedTarget) async throws(Problem) -> [Intent] {
        if !steps.isEmpty { try refuseToTakeHostDown(with: target) }
        var intents: [Intent] = []
        for step in steps {
            switch step {
            case .shapeTraffic(let layer): intents.append(try await prepareShaping(layer, on: target))
            case .runWorker(let task, let score):
                intents.append(try prepareWorker(task, outOfMemoryScore: score, on: target))
            case .fillDisk(let fill): intents.append(try await prepareFill(fill, on: target))
            case .lowerLimit(let lowered): intents.append(try await prepareLimit(lowered, on: target))
            case .signalProcesses(let order): intents.append(try prepareSignal(order, on: target))
            case .stopContainer(let stop): intents.append(try prepareStop(stop))
            case .stopService(let unit):
                intents.append(.stopService(try prepareService(unit, staysStopped: true)))
            case .restartService(let unit):
                intents.append(.restartService(try prepareService(unit, staysStopped: false)))
            case .skewClock(let offset): intents.append(try prepareClock(by: offset, on: target.facts))
            case .shutDown(let how, let delay):
                intents.append(try prepareShutdown(ShutdownOrder(how, after: delay), of: target.facts))
            }
        }
        return intents
    }

    /// Performs a step whose intent is on disk, and reads back that it is in effect.
    package func perform(
        _ intent: Intent, step: Int, of session: SessionID, on target: ResolvedTarget, until deadline: BootInstant,
        news: @escaping @Sendable (StepNews) -> Void
    ) async throws(StepError) {
        let key = WorkerKey(session: session, step: step)
        switch intent {
        case .shapeTraffic(let layer, let network, let base):
            try await shape(network, with: layer, over: base, for: session, on: target, until: deadline, news: news)
        case .runWorker(let task, let score, _):
            let sockets = try openSockets(of: task, on: target)
            try await startWorker(
                task, outOfMemoryScore: score, files: sockets.raw, as: key, on: target, until: deadline, news: news)
            withExtendedLifetime(sockets) {}
        case .fillDisk(let file, _):
            try await fill(file, as: key, on: target, until: deadline, news: news)
        case .lowerLimit(let layer, let cgroup):
            try lower(layer, in: cgroup, for: session, on: target, until: deadline)
        case .signalProcesses(let order, _): try signal(order, as: key, on: target)
        case .stopContainer(let order): try await stop(order, as: key, on: target, until: deadline, news: news)
        case .stopService(let service): try await stopService(service, as: key, until: deadline)
        case .restartService(let service): try await restartService(service, as: key, until: deadline, news: news)
        case .skewClock(let clock): try skewClock(clock, as: key, until: deadline)
        case .shutDown(let order): try shutDown(order, as: key, news: news)
        }
    }

    /// What a step has achieved so far, as the kernel counts it; nil when that cannot be told.
    package func effect(of intent: Intent, step: Int, of session: SessionID) async -> Effect? {
        switch intent {
        case .shapeTraffic(_, let network, _): await trafficEffect(in: network, of: session)
        case .lowerLimit(let layer, let cgroup): limitEffect(layer, in: cgroup, of: session)
        case .runWorker, .fillDisk: await effect(of: WorkerKey(session: session, step: step))
        case .signalProcesses: signalled[WorkerKey(session: session, step: step)].map(Effect.signalled)
        case .stopContainer: await stopEffect(of: WorkerKey(session: session, step: step))
        case .stopService: downEffect(of: WorkerKey(session: session, step: step))
        case .restartService: restartEffect(of: WorkerKey(session: session, step: step))
        case .skewClock: clockEffect(of: WorkerKey(session: session, step: step))
        case .shutDown: shutdownEffect(of: WorkerKey(session: session, step: step))
        }
    }

    /// Learns what a session of an earlier engine may have done, before anything of any is undone.
    package func adopt(_ intents: [Intent], of session: SessionID) {
        for (step, intent) in intents.enumerated() {
            let key = WorkerKey(session: session, step: step)
            switch intent {
            case .lowerLimit(let layer, let cgroup): adoptLimit(layer, in: cgroup, of: session)
            case .stopService(let service), .restartService(let service):
                // Nobody knows how far it came.
                services[key] = ServiceOrder(service, isLeft: true)
            case .skewClock(let clock): clocks[key] = ClockOrder(clock, isLeft: true)
            case .shutDown(let order): shutdowns[key] = PendingShutdown(order, isLeft: true)
            case .shapeTraffic, .runWorker, .fillDisk, .signalProcesses, .stopContainer: break
            }
        }
    }

    /// Takes a step back, whoever performed it and however far it came.
    ///
    /// - Parameter isOfThisBoot: Whether it was performed since the node was started. Of an earlier boot only what lies
    ///   on a disk can be left, and nothing may be found by numbers that the kernel gives anew.
    package func undo(
        _ intent: Intent, step: Int, of session: SessionID, isOfThisBoot: Bool = true
    ) async -> UndoProgress {
        guard isOfThisBoot || intent.outlivesBoot else {
            return .done(intent.endOfBoot == nil ? .alreadyRestored : .irreversible)
        }
        let key = WorkerKey(session: session, step: step)
        return switch intent {
        case .shapeTraffic(_, let network, let base): await unshape(network, base: base, for: session)
        case .runWorker(_, _, let cgroup): endWorker(key, in: cgroup)
        case .fillDisk(let file, let cgroup):
            await unfill(file, as: key, in: cgroup, isOfThisBoot: isOfThisBoot)
        case .lowerLimit(let layer, let cgroup): raise(layer, in: cgroup, for: session)
        // Of an earlier engine's nobody knows whether it was sent.
        case .signalProcesses: .done(signalled.removeValue(forKey: key) == 0 ? .alreadyRestored : .irreversible)
        case .stopContainer: endStop(key)
        case .stopService: startService(as: key)
        case .restartService: .done(endRestart(key))
        case .skewClock: .done(stepClockBack(as: key))
        case .shutDown: .done(endShutdown(key))
        }
    }
}

extension Intent {
    /// What the dead-man's process calls that which undoes it: several sessions in one network have one name.
    package func tags(step: Int, of session: SessionID) -> [UInt64] {
        let key = WorkerKey(session: session, step: step)
        return switch self {
        case .shapeTraffic, .lowerLimit: [shared].compactMap(\.self)
        case .runWorker: [key.workerTag]
        case .fillDisk: [key.workerTag, key.fileTag]
        case .stopService: [key.serviceTag]
        case .skewClock: [key.clockTag]
        case .signalProcesses, .stopContainer, .restartService, .shutDown: []
        }
    }
}

extension TargetFacts.NetworkNamespace {
    var tag: UInt64 { fnv1a("network \(inode) \(cookie)".utf8) }
}

extension WorkerKey {
    var workerTag: UInt64 { fnv1a("worker \(session.text) \(step)".utf8) }
    var serviceTag: UInt64 { fnv1a("service \(session.text) \(step)".utf8) }
    var clockTag: UInt64 { fnv1a("clock \(session.text) \(step)".utf8) }
    var fileTag: UInt64 { fnv1a("file \(session.text) \(step)".utf8) }
}
