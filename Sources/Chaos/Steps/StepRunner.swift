package import Cgroups
package import ChaosModel
package import LinuxSystem
package import Namespaces
package import Processes
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
    case workerReady
    /// It ended, and nobody had told it to.
    case workerEnded(String)
}

/// How far an undo came.
package enum UndoProgress: Sendable {
    case done(UndoOutcome)
    /// Under way: call again after a while.
    case unfinished(callAgainAfter: Duration)
}

/// The only place that changes the kernel. Steps run one after the other, so a resource that several sessions share is
/// never changed by two at once.
package actor StepRunner {
    let executor = DispatchExecutor(label: "squall.steps")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let thread: NamespaceThread
    let cgroups: CgroupTree
    /// Nothing is taken back with it, so an engine recovers before it has one.
    var workerProgram: Executable?

    /// The namespaces in which sessions have layers.
    var networks: [TargetFacts.NetworkNamespace: ShapedNetwork] = [:]
    var workers: [WorkerKey: RunningWorker] = [:]

    /// - Parameter thread: Enters namespaces and starts workers, which end when it does.
    package init(thread: NamespaceThread, cgroups: CgroupTree) {
        self.thread = thread
        self.cgroups = cgroups
    }

    package func use(workerProgram: Executable) {
        self.workerProgram = workerProgram
    }

    /// Reads what undoing the steps will need. Changes nothing.
    package func prepare(_ steps: [Step], on target: ResolvedTarget) throws(Problem) -> [Intent] {
        var intents: [Intent] = []
        for step in steps {
            switch step {
            case .shapeTraffic(let layer): intents.append(try prepareShaping(layer, on: target))
            case .runWorker(let task): intents.append(try prepareWorker(task, on: target))
            }
        }
        return intents
    }

    /// Performs a step whose intent is on disk, and reads back that it is in effect.
    package func perform(
        _ intent: Intent, step: Int, of session: SessionID, on target: ResolvedTarget, until deadline: BootInstant,
        news: @escaping @Sendable (StepNews) -> Void
    ) throws(StepError) {
        switch intent {
        case .shapeTraffic(let layer, let network, let base):
            try shape(network, with: layer, over: base, for: session, on: target)
        case .runWorker(let task, _):
            try startWorker(
                task, as: WorkerKey(session: session, step: step), on: target, until: deadline, news: news)
        }
    }

    /// Takes a step back, whoever performed it and however far it came.
    package func undo(_ intent: Intent, step: Int, of session: SessionID) -> UndoProgress {
        switch intent {
        case .shapeTraffic(_, let network, let base):
            unshape(network, base: base, for: session)
        case .runWorker(_, let cgroup):
            endWorker(WorkerKey(session: session, step: step), in: cgroup)
        }
    }
}
