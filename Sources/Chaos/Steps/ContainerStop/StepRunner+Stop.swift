import ChaosModel
import Dispatch
import LinuxSystem
import Targets

/// A container that the runtime was told to stop.
final class RunningStop {
    enum State {
        case underWay
        case stopped(after: Duration, exitCode: Int32?)
        case failed(ContainerStopError)
    }

    let order: ContainerStop
    let target: ResolvedTarget
    let beganAt = BootInstant.now
    var state = State.underWay
    /// Waits for the runtime; cancelled, it takes the order back.
    var task: Task<Void, Never>?
    /// Whom to tell when it fails; nil as long as somebody waits for that.
    var news: (@Sendable (StepNews) -> Void)?
    /// Whoever waits until it is not under way any more, or for a time.
    var waiters: [CheckedContinuation<Void, Never>] = []

    init(_ order: ContainerStop, of target: ResolvedTarget) {
        self.order = order
        self.target = target
    }

    var isUnderWay: Bool { if case .underWay = state { true } else { false } }

    func wakeWaiters() {
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume() }
    }
}

extension StepRunner {
    /// Each holds a thread, and a connection to the runtimes process, until its container has ended.
    private static let mostStops = 32
    /// How long a session waits to be told that its container has ended before it counts as being stopped.
    private static let stopPatience = Duration.seconds(5)
    /// How long a container that has ended may take to be told of.
    private static let lastWordPatience = Duration.seconds(10)

    private func isBeingStopped(_ stop: ContainerStop) -> Bool {
        stops.values.contains { $0.isUnderWay && $0.order.container == stop.container }
    }

    func prepareStop(_ stop: ContainerStop) throws(Problem) -> Intent {
        if isBeingStopped(stop) {
            throw Problem(
                .targetBusy, "the container is being stopped already", field: "target",
                hint: "wait until it has ended")
        }
        guard stops.values.count(where: \.isUnderWay) < Self.mostStops else {
            throw Problem(
                .limitExceeded, "this node stops \(Self.mostStops) containers already, which are the most at once",
                hint: "wait until they have ended")
        }
        return .stopContainer(stop)
    }

    /// Returns when the container has ended, or when that takes long.
    ///
    /// - Throws: Why the runtime does not stop it.
    func stop(
        _ order: ContainerStop, as key: WorkerKey, on target: ResolvedTarget, until deadline: BootInstant,
        news: @escaping @Sendable (StepNews) -> Void
    ) async throws(StepError) {
        let obstacle: String? =
            stopper == nil
            ? "there is nobody who speaks to the container runtime"
            : !target.isRunning
                ? "the container has ended"
                : isBeingStopped(order)
                    ? "the container is being stopped already"
                    : stops.values.count(where: \.isUnderWay) >= Self.mostStops
                        ? "\(Self.mostStops) containers are being stopped already, which are the most at once" : nil
        let stop = RunningStop(order, of: target)
        stops[key] = stop
        guard let stopper, obstacle == nil else {
            let words = obstacle ?? ""
            stop.state = .failed(ContainerStopError(words, isUntold: true))
            throw StepError(words)
        }
        stop.task = Task {
            do throws(ContainerStopError) {
                let exitCode = try await stopper.stop(order)
                settle(stop, as: .stopped(after: .now - stop.beganAt, exitCode: exitCode))
            } catch {
                settle(stop, as: .failed(error))
            }
        }
        await wait(for: stop, until: min(deadline, stop.beganAt + Self.stopPatience))
        switch stop.state {
        case .underWay: stop.news = news
        case .stopped: return
        case .failed(let error): throw StepError(error.description)
        }
    }

    private func settle(_ stop: RunningStop, as state: RunningStop.State) {
        stop.state = state
        stop.wakeWaiters()
        if case .failed(let error) = state, stop.task?.isCancelled != true { stop.news?(.stopFailed("\(error)")) }
    }

    private func wait(for stop: RunningStop, until limit: BootInstant) async {
        nonisolated(unsafe) let awaited = stop
        while stop.isUnderWay, .now < limit {
            // Should it come too soon by the other clock, there is another.
            executor.queue.asyncAfter(deadline: .now() + (limit - BootInstant.now).seconds + 0.001) { [weak self] in
                self?.assumeIsolated { _ in awaited.wakeWaiters() }
            }
            await withCheckedContinuation { stop.waiters.append($0) }
        }
    }

    /// Nil as long as the container has not ended.
    func stopEffect(of key: WorkerKey) async -> Effect? {
        guard let stop = stops[key] else { return nil }
        // The kernel tells sooner than the runtime does.
        if stop.isUnderWay, !stop.target.isRunning { await wait(for: stop, until: .now + Self.lastWordPatience) }
        guard case .stopped(let time, let exitCode) = stop.state else { return nil }
        return .stopped(after: time, exitCode: exitCode)
    }

    /// What was done stays done; what was not yet done is not done any more.
    func endStop(_ key: WorkerKey) -> UndoProgress {
        // Of an earlier engine's nobody knows how far it came.
        guard let stop = stops[key] else { return .done(.irreversible) }
        switch stop.state {
        case .underWay:
            stop.task?.cancel()
            return .unfinished(callAgainAfter: .milliseconds(5))
        case .stopped:
            stops[key] = nil
            return .done(.irreversible)
        case .failed(let error):
            stops[key] = nil
            return .done(error.isUntold ? .alreadyRestored : .irreversible)
        }
    }
}
