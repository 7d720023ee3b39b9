import ChaosModel
import LinuxSystem
import Systemd

/// An order to take the host down, which is given when its delay is over.
final class PendingShutdown {
    let order: ShutdownOrder
    /// Of an engine before this one: nobody knows how far it came.
    let isLeft: Bool
    /// systemd may have been told.
    var isGiven = false
    /// Waits for the delay.
    var task: Task<Void, Never>?

    init(_ order: ShutdownOrder, isLeft: Bool = false) {
        self.order = order
        self.isLeft = isLeft
    }
}

extension StepRunner {
    func prepareShutdown(_ order: ShutdownOrder, of host: TargetFacts) throws(Problem) -> Intent {
        guard host.isHost else {
            throw Problem(
                .targetRefused, "what goes down is the whole host", field: "target", hint: "name the host by --host")
        }
        guard systemd.isThere else {
            throw Problem(
                .targetRefused, "the host's systemd, which would take it down, cannot be told from here",
                field: "target", hint: "run the agent as the host's own service")
        }
        guard shutdowns.isEmpty else {
            throw Problem(
                .targetBusy, "another session is about to take the host down", field: "target",
                hint: "end that one first")
        }
        return .shutDown(order)
    }

    /// Returns at once: the host goes down when the delay is over.
    func shutDown(
        _ order: ShutdownOrder, as key: WorkerKey, news: @escaping @Sendable (StepNews) -> Void
    ) throws(StepError) {
        // Without an order of its own, nothing is taken back for it.
        guard shutdowns.isEmpty else { throw StepError("another session is about to take the host down") }
        let pending = PendingShutdown(order)
        shutdowns[key] = pending
        pending.task = Task { await whenDue(pending, as: key, news) }
    }

    private func whenDue(
        _ pending: PendingShutdown, as key: WorkerKey, _ news: @Sendable (StepNews) -> Void
    ) async {
        await pause(pending.order.delay)
        guard !Task.isCancelled, shutdowns[key] === pending else { return }
        news(give(pending))
    }

    private func give(_ pending: PendingShutdown) -> StepNews {
        pending.isGiven = true
        do throws(SystemdError) {
            try systemd.takeDown(by: pending.order.how.target)
            return .completed
        } catch {
            // What does not answer may have been told all the same.
            if case .refused = error { pending.isGiven = false }
            return .stopFailed("\(error)")
        }
    }

    /// Nil as long as systemd was not told.
    func shutdownEffect(of key: WorkerKey) -> Effect? {
        guard let pending = shutdowns[key], pending.isGiven else { return nil }
        return .hostOrdered(pending.order.how)
    }

    /// What was not yet ordered is not ordered any more.
    func endShutdown(_ key: WorkerKey) -> UndoOutcome {
        guard let pending = shutdowns.removeValue(forKey: key) else { return .alreadyRestored }
        pending.task?.cancel()
        return pending.isGiven || pending.isLeft && isGoingDown(by: pending.order.how.target)
            ? .irreversible : .alreadyRestored
    }

    /// Where systemd does not say, it may be: it does not answer everybody any more then.
    private func isGoingDown(by target: String) -> Bool {
        guard let found = try? systemd.unitProperties(["Job", "ActiveState"], of: target) else { return true }
        return found["Job"] != ["0"] || found["ActiveState"] != ["inactive"]
    }
}
