import ChaosModel
import DeadMan
import LinuxSystem

/// The wall clock, while a session has it.
final class ClockOrder: Entrusted {
    let clock: SteppedClock
    /// Of an engine before this one: nobody knows how far it came.
    let isLeft: Bool
    /// It may have been stepped.
    var isGiven = false
    var slot: DeadMansProcess.Slot?

    init(_ clock: SteppedClock, isLeft: Bool = false) {
        self.clock = clock
        self.isLeft = isLeft
    }

    func wasTakenBack() {}
}

extension StepRunner {
    /// From here on this process goes by the time as it would be without these, as far as a session of an earlier engine has
    /// really stepped the clock.
    package static func trustClock(before intents: [Intent]) {
        for case .skewClock(let clock) in intents where clock.state(at: WallClock.lead) == .isStepped {
            WallClock.trust(clock.before, until: nil)
        }
    }

    func prepareClock(by offset: Duration, on host: TargetFacts) throws(Problem) -> Intent {
        guard host.isHost else {
            throw Problem(
                .targetRefused, "the clock is the whole host's", field: "target", hint: "name the host by --host")
        }
        guard clocks.isEmpty else {
            throw Problem(
                .targetBusy, "another session has set the clock", field: "target", hint: "wait until it has ended")
        }
        return .skewClock(SteppedClock(offset: offset, before: WallClock.lead))
    }

    func skewClock(_ clock: SteppedClock, as key: WorkerKey, until deadline: BootInstant) throws(StepError) {
        // Without an order of its own, nothing is taken back for it.
        guard clocks.isEmpty else { throw StepError("another session has set the clock") }
        let order = ClockOrder(clock)
        clocks[key] = order
        guard clock.state(at: WallClock.lead) == .isBack else {
            throw StepError("somebody has set the clock meanwhile")
        }
        var program = DeadMansProgram()
        program.stepBack(clock)
        order.slot = try entrust(program, tag: key.clockTag, files: [], overdue: deadline + Self.grace)
        order.isGiven = true
        WallClock.trust(clock.before, until: deadline)
        do throws(SystemCallError) {
            try WallClock.step(by: clock.offset)
        } catch {
            throw StepError("\(error)")
        }
        let now = WallClock.lead
        guard clock.state(at: now) == .isStepped else {
            throw StepError(
                "the clock was stepped, and is \(Self.text(now - clock.before)) from what it was all the same")
        }
        // This may have been held up until it was overdue, and put back before it was stepped.
        guard claim(order), handOver(order) else { throw StepError("the session's time is over") }
    }

    /// By how much the clock is off, whoever has set it.
    func clockEffect(of key: WorkerKey) -> Effect? {
        guard let order = clocks[key], order.isGiven else { return nil }
        return .clockMoved(by: WallClock.lead - order.clock.before)
    }

    func stepClockBack(as key: WorkerKey) -> UndoOutcome {
        // It was never begun.
        guard let order = clocks[key] else { return .alreadyRestored }
        var outcome = UndoOutcome.alreadyRestored
        // The dead-man's process may have been first. That is seen by the clock.
        if order.isGiven || order.isLeft {
            _ = claim(order)
            outcome = Self.stepBack(order.clock)
        }
        if case .failed = outcome {
            // Until it is tried again, the other one may.
            _ = handOver(order)
            return outcome
        }
        clocks[key] = nil
        letGo(order)
        WallClock.trust()
        return outcome
    }

    private static func text(_ moved: Duration) -> String {
        Duration.milliseconds(Int64((moved.seconds * 1000).rounded())).text
    }

    private static func stepBack(_ clock: SteppedClock) -> UndoOutcome {
        let found = WallClock.lead
        switch clock.state(at: found) {
        case .isBack: return .alreadyRestored
        case .isSet:
            return .drifted(
                found: "the clock is \(text(found - clock.before)) from what it was, and not \(clock.offset.text): "
                    + "somebody has set it")
        case .isStepped: break
        }
        do throws(SystemCallError) {
            try WallClock.step(by: .zero - clock.offset)
            // This may have been held up before it, for as long as the dead-man's process waits.
            if clock.isBackTwice(at: WallClock.lead) { try WallClock.step(by: clock.offset) }
        } catch {
            return .failed("\(error)")
        }
        let now = WallClock.lead
        return clock.state(at: now) == .isBack
            ? .restored : .failed("the clock is still \(Self.text(now - clock.before)) from what it was")
    }
}
