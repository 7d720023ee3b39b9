import ChaosModel
import Sessions
import Testing

struct SessionMachineTests {
    @Test func `performs its steps in order and undoes them in reverse`() {
        var machine = SessionMachine(stepCount: 2)
        #expect(machine.handle(.journaled) == .perform(0))
        #expect(machine.handle(.stepPerformed) == .perform(1))
        #expect(machine.handle(.stepPerformed) == .wait)
        #expect(machine.state == .active)
        #expect(machine.handle(.toldToEnd(.expired)) == .undo(1))
        #expect(machine.handle(.stepUndone(.restored)) == .undo(0))
        #expect(machine.handle(.stepUndone(.restored)) == .finish(.expired))
        #expect(machine.state == .ended)
    }

    @Test func `a step that failed is undone too, since it may have half happened`() {
        var machine = SessionMachine(stepCount: 2)
        _ = machine.handle(.journaled)
        _ = machine.handle(.stepPerformed)
        #expect(machine.handle(.stepFailed) == .undo(1))
        #expect(machine.handle(.stepUndone(.alreadyRestored)) == .undo(0))
        #expect(machine.handle(.stepUndone(.restored)) == .finish(.applyFailed))
    }

    @Test func `a session that is told to end while a step is in flight waits for the step`() {
        var machine = SessionMachine(stepCount: 2)
        _ = machine.handle(.journaled)
        #expect(machine.handle(.toldToEnd(.cancelled)) == .carryOn)
        #expect(machine.handle(.stepPerformed) == .undo(0))
        #expect(machine.handle(.stepUndone(.restored)) == .finish(.cancelled))
    }

    @Test func `a session that follows its target is undone, waits, and is performed again`() {
        var machine = SessionMachine(stepCount: 2)
        _ = machine.handle(.journaled)
        _ = machine.handle(.stepPerformed)
        #expect(machine.handle(.stepPerformed) == .wait)
        #expect(machine.handle(.targetLost) == .undo(1))
        #expect(machine.handle(.stepUndone(.restored)) == .undo(0))
        #expect(machine.handle(.stepUndone(.alreadyRestored)) == .awaitTarget)
        #expect(machine.state == .waiting)
        #expect(machine.handle(.targetReturned(stepCount: 1)) == .perform(0))
        #expect(machine.handle(.stepPerformed) == .wait)
        #expect(machine.handle(.toldToEnd(.expired)) == .undo(0))
        #expect(machine.handle(.stepUndone(.restored)) == .finish(.expired))
    }

    @Test func `a session that waits for its target ends at once`() {
        var machine = SessionMachine(stepCount: 1)
        _ = machine.handle(.journaled)
        _ = machine.handle(.stepPerformed)
        _ = machine.handle(.targetLost)
        #expect(machine.handle(.stepUndone(.restored)) == .awaitTarget)
        #expect(machine.handle(.toldToEnd(.expired)) == .finish(.expired))
    }

    @Test func `an undo that fails is tried for as long as it takes, ever more rarely`() {
        var machine = SessionMachine(recovering: 1)
        var pauses: [Duration] = []
        for _ in 0..<20 {
            guard case .pause(let pause) = machine.handle(.stepUndone(.failed("busy"))) else {
                Issue.record("a failed undo is tried again")
                return
            }
            pauses.append(pause)
            #expect(machine.state == .stuck)
            #expect(machine.handle(.pauseOver) == .undo(0))
        }
        #expect(pauses.first == .milliseconds(100))
        #expect(pauses.last == .seconds(30))
        #expect(pauses == pauses.sorted())
        #expect(machine.handle(.stepUndone(.restored)) == .finish(.recovered))
    }

    /// Every state that any order of events can lead to, the engine's death at any moment among them.
    @Test(arguments: 1...4) func `there is a way out of every state, and no performed step is forgotten`(steps: Int) {
        struct Situation: Hashable {
            var machine: SessionMachine
            var action: SessionMachine.Action
            /// Steps that may be in effect.
            var touched: Set<Int>
            /// As many as the journal knows of.
            var journaled: Int
        }

        func next(_ situation: Situation) -> [Situation] {
            let outcomes: [UndoOutcome] = [.restored, .alreadyRestored, .drifted(found: "x"), .failed("y")]
            let touched = situation.touched
            var events: [(SessionMachine.Event, Set<Int>)] = []
            switch situation.action {
            case .perform(let step):
                let performed = touched.union([step])
                events = [(.stepPerformed, performed), (.stepFailed, performed), (.targetLost, performed)]
            case .wait:
                events = Ending.allCases.map { (.toldToEnd($0), touched) } + [(.targetLost, touched)]
            case .awaitTarget:
                // From here on the journal knows only what is done to the next target.
                #expect(touched.isEmpty)
                events = Ending.allCases.map { (.toldToEnd($0), touched) }
                events += (1...steps).map { (.targetReturned(stepCount: $0), touched) }
            case .undo(let step):
                events = outcomes.map { outcome in
                    if case .failed = outcome { return (.stepUndone(outcome), touched) }
                    return (.stepUndone(outcome), touched.subtracting([step]))
                }
                events.append((.undoUnfinished(callAgainAfter: .milliseconds(1)), touched))
            case .pause:
                events = [(.pauseOver, touched)]
            case .finish, .carryOn:
                break
            }
            var following = events.map { event, touched in
                var machine = situation.machine
                let action = machine.handle(event)
                var journaled = situation.journaled
                if case .targetReturned(let count) = event { journaled = count }
                return Situation(machine: machine, action: action, touched: touched, journaled: journaled)
            }
            // The engine dies, in the middle of what it was about to do or before its end is written down.
            let recovered = SessionMachine(recovering: situation.journaled)
            var left = touched
            if case .perform(let step) = situation.action { left.insert(step) }
            #expect(left.allSatisfy { $0 < situation.journaled }, "in effect, and not in the journal")
            following.append(
                Situation(
                    machine: recovered, action: recovered.recoveryAction, touched: left,
                    journaled: situation.journaled))
            if case .finish = situation.action { return following }
            // It may be told to end at any time, which must not change what is under way.
            if situation.machine.state != .active, situation.machine.state != .waiting {
                var machine = situation.machine
                if machine.handle(.toldToEnd(.cancelled)) == .carryOn {
                    following.append(
                        Situation(
                            machine: machine, action: situation.action, touched: touched,
                            journaled: situation.journaled))
                }
            }
            return following
        }

        var fresh = SessionMachine(stepCount: steps)
        let begun = fresh.handle(.journaled)
        var frontier = [Situation(machine: fresh, action: begun, touched: [], journaled: steps)]
        var seen = Set(frontier)
        var finished = 0
        while let situation = frontier.popLast() {
            // Backoff grows with each failure; beyond a few nothing new happens.
            if case .pause(let pause) = situation.action, pause > .seconds(1) { continue }
            if case .finish = situation.action {
                finished += 1
                #expect(situation.touched.isEmpty)
                #expect(situation.machine.state == .ended)
            }
            let following = next(situation)
            #expect(!following.isEmpty)
            for situation in following where seen.insert(situation).inserted { frontier.append(situation) }
        }
        #expect(finished > 0)
    }
}
