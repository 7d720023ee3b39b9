package import ChaosModel

/// The life of one session, as a value. It decides; the scheduler acts.
///
///     pending ─→ applying ─────────────→ active ──(told to end)──→ reverting ──→ ended
///                   │  └─(told to end)─→ aborting ──(step in flight settles)──↑ │  ↑
///                   └─(step failed)───────────────────────────────────────────┘ ↓  │
///                                                                             stuck
///     active ──(target lost)─→ suspending ──→ waiting ──(target returned)─→ applying
///
/// A target that is lost, of a session that follows it, is waited for with everything undone.
/// Steps are performed in order and undone in reverse. A step that failed may have half happened, so it is
/// undone like the others. An undo that fails is tried again for as long as it takes.
package struct SessionMachine: Hashable, Sendable {
    package enum Event: Hashable, Sendable {
        /// The session and all its intents are on disk.
        case journaled
        case stepPerformed
        case stepFailed
        /// Deadline, lease, owner, operator, target or fault.
        case toldToEnd(Ending)
        case stepUndone(UndoOutcome)
        /// The undo has begun and needs another call to complete, as a queue that drains.
        case undoUnfinished(callAgainAfter: Duration)
        /// The pause that `pause` asked for is over.
        case pauseOver
        /// The target has ended, and another in its place is to be waited for.
        case targetLost
        /// There is one, and what is to be done to it is on disk.
        case targetReturned(stepCount: Int)
    }

    package enum Action: Hashable, Sendable {
        case perform(Int)
        /// Nothing to do until the session is told to end.
        case wait
        case undo(Int)
        case pause(Duration)
        /// Nothing to do until the target returns or the session is told to end.
        case awaitTarget
        case finish(Ending)
        /// The event changes nothing that is under way.
        case carryOn
    }

    private enum Phase: Hashable, Sendable {
        case pending
        case applying(step: Int)
        /// Told to end while a step is in flight.
        case aborting(step: Int, Ending)
        case active
        /// The target is lost: everything is undone.
        case suspending(step: Int)
        case waiting
        case reverting(step: Int, Ending)
        case stuck(step: Int, Ending, failures: Int)
        case ended(Ending)
    }

    private var stepCount: Int
    private var phase: Phase

    /// A session that is about to be journaled.
    package init(stepCount: Int) {
        precondition(stepCount > 0, "a plan has steps")
        self.stepCount = stepCount
        phase = .pending
    }

    /// A session that an earlier agent left: nobody knows how far it came, so every step is undone.
    package init(recovering stepCount: Int) {
        precondition(stepCount > 0, "a plan has steps")
        self.stepCount = stepCount
        phase = .reverting(step: stepCount - 1, .recovered)
    }

    /// A session that an earlier agent saw to its end.
    package init(ended ending: Ending, stepCount: Int) {
        self.stepCount = stepCount
        phase = .ended(ending)
    }

    package var state: SessionState {
        switch phase {
        case .pending: .pending
        case .applying, .aborting: .applying
        case .active: .active
        case .suspending, .reverting: .reverting
        case .waiting: .waiting
        case .stuck: .stuck
        case .ended: .ended
        }
    }

    package var ending: Ending? {
        switch phase {
        case .pending, .applying, .active, .suspending, .waiting: nil
        case .aborting(_, let ending), .reverting(_, let ending), .stuck(_, let ending, _), .ended(let ending): ending
        }
    }

    /// The action to begin with after a restart.
    package var recoveryAction: Action { .undo(stepCount - 1) }

    package mutating func handle(_ event: Event) -> Action {
        switch (phase, event) {
        case (.pending, .journaled):
            return become(.applying(step: 0), .perform(0))
        case (.pending, .toldToEnd(let ending)):
            // Journaled, nothing performed.
            return become(.ended(ending), .finish(ending))

        case (.applying(let step), .stepPerformed) where step + 1 < stepCount:
            return become(.applying(step: step + 1), .perform(step + 1))
        case (.applying, .stepPerformed):
            return become(.active, .wait)
        case (.applying(let step), .stepFailed):
            return become(.reverting(step: step, .applyFailed), .undo(step))
        case (.applying(let step), .toldToEnd(let ending)):
            return become(.aborting(step: step, ending), .carryOn)

        case (.aborting(let step, let ending), .stepPerformed), (.aborting(let step, let ending), .stepFailed),
            (.aborting(let step, let ending), .targetLost):
            return become(.reverting(step: step, ending), .undo(step))

        case (.active, .targetLost):
            return become(.suspending(step: stepCount - 1), .undo(stepCount - 1))
        case (.applying(let step), .targetLost):
            return become(.suspending(step: step), .undo(step))
        case (.suspending(let step), .stepUndone(.failed)):
            // What cannot be undone needs somebody to look: no further attempt is made to inject.
            return become(.stuck(step: step, .targetGone, failures: 1), .pause(Self.backoff(after: 0)))
        case (.suspending(let step), .stepUndone):
            if step > 0 { return become(.suspending(step: step - 1), .undo(step - 1)) }
            return become(.waiting, .awaitTarget)
        case (.suspending, .undoUnfinished(let delay)):
            return .pause(delay)
        case (.suspending(let step), .pauseOver):
            return .undo(step)
        case (.waiting, .targetReturned(let stepCount)):
            self.stepCount = stepCount
            return become(.applying(step: 0), .perform(0))
        case (.waiting, .toldToEnd(let ending)):
            return become(.ended(ending), .finish(ending))

        case (.active, .toldToEnd(let ending)):
            return become(.reverting(step: stepCount - 1, ending), .undo(stepCount - 1))

        case (.reverting(let step, let ending), .stepUndone(let outcome)):
            return undone(step, ending, outcome, failures: 0)
        case (.stuck(let step, let ending, let failures), .stepUndone(let outcome)):
            return undone(step, ending, outcome, failures: failures)
        case (.reverting, .undoUnfinished(let delay)), (.stuck, .undoUnfinished(let delay)):
            return .pause(delay)
        case (.reverting(let step, _), .pauseOver), (.stuck(let step, _, _), .pauseOver):
            return .undo(step)

        case (.suspending(let step), .toldToEnd(let ending)):
            return become(.reverting(step: step, ending), .carryOn)
        case (.aborting, .toldToEnd), (.reverting, .toldToEnd), (.stuck, .toldToEnd), (.ended, .toldToEnd):
            // It is ending already; the first reason stays.
            return .carryOn

        case (.pending, _), (.applying, _), (.aborting, _), (.active, _), (.suspending, _), (.waiting, _),
            (.reverting, _), (.stuck, _), (.ended, _):
            preconditionFailure("\(event) cannot happen in \(phase)")
        }
    }

    private mutating func undone(_ step: Int, _ ending: Ending, _ outcome: UndoOutcome, failures: Int) -> Action {
        switch outcome {
        case .failed:
            return become(.stuck(step: step, ending, failures: failures + 1), .pause(Self.backoff(after: failures)))
        case .restored, .alreadyRestored, .drifted, .irreversible:
            if step > 0 { return become(.reverting(step: step - 1, ending), .undo(step - 1)) }
            return become(.ended(ending), .finish(ending))
        }
    }

    /// 100 ms, doubled each time, at most 30 s.
    private static func backoff(after failures: Int) -> Duration {
        min(.milliseconds(100) * (1 << min(failures, 9)), .seconds(30))
    }

    private mutating func become(_ next: Phase, _ action: Action) -> Action {
        phase = next
        return action
    }
}
