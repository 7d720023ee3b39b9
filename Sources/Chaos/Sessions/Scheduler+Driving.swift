import Audit
import Authorization
import ChaosModel
import Dispatch
import Faults
import Journal
import LinuxSystem
import Steps
import Targets

extension Scheduler {
    func drive(_ session: LiveSession, _ first: SessionMachine.Action) {
        session.driver = Task { await self.carryOut(first, for: session) }
    }

    /// Carries out what the machine decides until the session is over.
    private func carryOut(_ first: SessionMachine.Action, for session: LiveSession) async {
        var action = first
        while true {
            session.announceChange()
            measureChange(of: session)
            switch action {
            case .perform(let step):
                action = session.machine.handle(await perform(step, of: session))
            case .wait:
                action = session.machine.handle(await stayActive(session))
            case .awaitTarget:
                action = session.machine.handle(await awaitTarget(of: session))
            case .undo(let step):
                action = session.machine.handle(await undo(step, of: session))
            case .pause(let duration):
                await pause(duration)
                action = session.machine.handle(.pauseOver)
            case .finish(let ending):
                await finish(session, ending)
                return
            case .carryOn:
                preconditionFailure("the driver asked for an action and got none")
            }
        }
    }

    /// Times how long it takes to apply a fault, and to take it back once the session is to end.
    private func measureChange(of session: LiveSession) {
        let fault = session.record.fault
        switch session.machine.state {
        case .pending, .stuck, .reverting: break
        case .applying: session.applyingSince = session.applyingSince ?? .now
        case .active:
            if let since = session.applyingSince {
                counts.applied[fault, default: DurationHistogram()].observe(.now - since)
            }
            session.applyingSince = nil
        case .waiting: session.applyingSince = nil
        case .ended:
            guard let since = session.toldToEndAt else { break }
            counts.reverted[fault, default: DurationHistogram()].observe(.now - since)
        }
    }

    /// A worker that was there until it was told to end.
    private func noteWorkerEnd(_ step: Int, of session: LiveSession, _ outcome: UndoOutcome) {
        guard session.record.intents[step].runsWorker, session.target != nil, !session.isWorkerGone else { return }
        if case .failed = outcome { return }
        counts.workerExits[.told, default: 0] += 1
    }

    /// Returns when the session is to be active no longer.
    private func stayActive(_ session: LiveSession) async -> SessionMachine.Event {
        session.tell("active", "the fault is in effect")
        let event = await reasonToStop(session)
        await measure(session)
        tellEffects(of: session)
        return event
    }

    private func tellEffects(of session: LiveSession) {
        for step in session.steps {
            if let effect = step.effect { session.tell("effect", effect.words) }
        }
    }

    /// Why a session really ends: that its target went away may be what it was for.
    private func ending(_ reason: Ending, of session: LiveSession) async -> Ending {
        // An agent is stopped, too, when the host goes down.
        let isEndOfBoot = reason == .drained && session.record.intents.contains { $0.endOfBoot != nil }
        guard reason == .targetGone || reason == .completed || isEndOfBoot else { return reason }
        await measure(session)
        let hasDoneIt = session.steps.contains { step in
            switch step.effect {
            case .stopped, .hostOrdered: true
            default: false
            }
        }
        return hasDoneIt ? .completed : reason
    }

    private func reasonToStop(_ session: LiveSession) async -> SessionMachine.Event {
        while true {
            switch await session.nextMessage() {
            case .end(let reason):
                let ending = await ending(reason, of: session)
                session.tell(ending)
                return .toldToEnd(ending)
            case .targetLost:
                return .targetLost
            case .looked:
                // Asked for while it waited, which is over.
                continue
            }
        }
    }

    private func perform(_ step: Int, of session: LiveSession) async -> SessionMachine.Event {
        guard let target = session.target else { preconditionFailure("a recovered session performs no step") }
        let intent = session.record.intents[step]
        let id = session.id
        // Whatever was waited for until now: the session may have been told to end meanwhile.
        if await tellEndings(of: session) { return .stepFailed }
        let news: @Sendable (StepNews) -> Void = { [weak self] news in
            self?.executor.queue.async { [weak self] in self?.assumeIsolated { $0.received(news, from: id) } }
        }
        session.steps[step].performed = true
        var event = SessionMachine.Event.stepPerformed
        do throws(StepError) {
            try await runner.perform(
                intent, step: step, of: session.id, on: target, until: session.deadline, news: news)
            session.tell("step-performed", intent.summary)
        } catch {
            // Whether its worker had begun to work is not known.
            session.isWorkerGone = true
            session.tell("step-failed", "\(error)")
            event = await hasGone(target, of: session) ? .targetLost : .stepFailed
        }
        // It will not be active.
        if await tellEndings(of: session) { tellEffects(of: session) }
        return event
    }

    /// Tells the machine why the session is to end. False when it is not.
    private func tellEndings(of session: LiveSession) async -> Bool {
        let reasons = session.takeEndings()
        for reason in reasons {
            let ending = await ending(reason, of: session)
            session.tell(ending)
            _ = session.machine.handle(.toldToEnd(ending))
        }
        return !reasons.isEmpty
    }

    private func undo(_ step: Int, of session: LiveSession) async -> SessionMachine.Event {
        let progress = await runner.undo(
            session.record.intents[step], step: step, of: session.id, isOfThisBoot: session.record.bootID == bootID)
        switch progress {
        case .unfinished(let delay):
            return .undoUnfinished(callAgainAfter: delay)
        case .done(let found):
            let outcome = found.bounded
            session.steps[step].undo = outcome
            // Of an earlier engine's order it is known only now that it was given.
            if outcome == .irreversible, let how = session.record.intents[step].endOfBoot,
                session.steps[step].effect == nil
            {
                session.steps[step].performed = true
                session.steps[step].effect = .hostOrdered(how)
            }
            counts.undone[outcome.word, default: 0] += 1
            noteWorkerEnd(step, of: session, outcome)
            switch outcome {
            case .restored, .alreadyRestored, .irreversible:
                session.tell("step-undone", "\(outcome.word): \(session.steps[step].summary)")
            case .drifted(let found): session.tell("step-drifted", "left alone, changed by somebody else: \(found)")
            case .failed(let reason): session.tell("undo-failed", "will be tried again: \(reason)")
            }
            return .stepUndone(outcome)
        }
    }

    nonisolated func pause(_ duration: Duration) async {
        await withCheckedContinuation { continuation in
            executor.queue.asyncAfter(deadline: .now() + duration.seconds) { continuation.resume() }
        }
    }

    private func finish(_ session: LiveSession, _ ending: Ending) async {
        do {
            try await commit([.ended(session.ended(ending))])
        } catch {
            // Undone all the same: a restart would find nothing left to undo.
            session.tell("journal-failed", "\(error)")
        }
        counts.ended[ending, default: 0] += 1
        session.tell("ended", ending.words)
        audit.record(AuditEvent(ended: session.report, as: ending))
        live[session.id] = nil
        past.append(session)
        if past.count > limits.remembered { forgetOne() }
        session.close()
        session.announceChange()
        armTimer()
    }

    private func received(_ news: StepNews, from id: SessionID) {
        guard let session = live[id] else { return }
        switch news {
        case .workerReached(let bytes, nil):
            session.tell("worker-reached", "the worker holds \(bytes)")
        case .workerReached(let bytes, let reason?):
            session.tell("worker-reached", "the worker holds \(bytes) and gets no more: \(reason)")
        case .workerEnded(let how, let isOutOfMemory):
            session.isWorkerGone = true
            counts.workerExits[isOutOfMemory ? .outOfMemory : .early, default: 0] += 1
            guard session.machine.ending == nil else { return }
            if isOutOfMemory {
                let tenths = Int64(((BootInstant.now - session.openedAt).seconds * 10).rounded())
                session.tell("worker-oom-killed", "stressor OOM-killed at \(tenths / 10).\(tenths % 10) s")
            } else {
                session.tell("worker-ended", "the worker ended before its time: \(how)")
            }
            endUnlessGone(session)
        case .hosts(let words): session.tell("hosts-looked-up", words)
        case .outOfMemory(let kills):
            session.tell(
                "target-oom-killed", "memory ran out: the kernel killed \(kills) of the target's processes")
        case .stopFailed(let reason):
            session.tell("stop-failed", reason)
            endUnlessGone(session)
        case .completed: session.post(.end(.completed))
        }
    }

    /// At most once a second, and only when somebody asks.
    func measuredReport(of session: LiveSession) async -> SessionReport {
        let isFresh = session.measuredAt.map { BootInstant.now - $0 < .seconds(1) } ?? false
        if session.machine.state == .active, !isFresh { await measure(session) }
        return session.report
    }

    private func measure(_ session: LiveSession) async {
        session.measuredAt = .now
        for step in session.steps.indices where session.steps[step].performed {
            let effect = await runner.effect(of: session.record.intents[step], step: step, of: session.id)
            // What can no longer be looked at stays as it was seen last.
            if let effect { session.steps[step].effect = effect }
        }
    }
}

// MARK: - Targets that come back

extension Scheduler {
    /// How long the next look at the runtime is waited for, at first and at the longest.
    private static let looks = (first: Duration.milliseconds(100), last: Duration.seconds(2))

    /// How long the pod of a target must be unknown to count as gone.
    private static let gonePatience = Duration.seconds(3)

    /// A kernel that kills a whole cgroup may be done with a worker before the target is seen to end.
    private static let killPatience = Duration.seconds(1)

    private func hasGone(_ target: ResolvedTarget, of session: LiveSession) async -> Bool {
        guard session.record.onRestart == .reinject else { return false }
        if target.isRunning { await pause(Self.killPatience) }
        return !target.isRunning
    }

    /// Ends a session whose fault has ended, unless it follows a target that ends too.
    private func endUnlessGone(_ session: LiveSession) {
        guard session.record.onRestart == .reinject, let target = session.target else {
            return session.post(.end(.faultEnded))
        }
        Task {
            // It may be on another target by then.
            if await !hasGone(target, of: session), session.target === target { session.post(.end(.faultEnded)) }
        }
    }

    /// Returns when the container was started again and the session is on it, or when the session is to end.
    private func awaitTarget(of session: LiveSession) async -> SessionMachine.Event {
        session.letGoOfTarget()
        session.tell("waiting", "everything is undone; the session waits for the container to be started again")
        // What cannot be taken back is not done again and again without a pause.
        var pause = session.record.intents.allSatisfy(\.isReversible) ? Self.looks.first : Self.looks.last
        var trouble: ProblemCode?
        var goneSince: BootInstant?
        lookLater(session, after: pause)
        while true {
            do throws(Problem) {
                switch await session.nextMessage() {
                case .end(let ending):
                    session.tell(ending)
                    return .toldToEnd(ending)
                case .targetLost:
                    continue
                case .looked(let found):
                    let found = try found.get()
                    if case .never = found {} else { goneSince = nil }
                    switch found {
                    case .found(let target):
                        if try await move(session, to: target) {
                            return .targetReturned(stepCount: session.record.intents.count)
                        }
                    case .notYet: break
                    case .never:
                        // Its runtime may only be away for a moment, and another one have answered.
                        goneSince = goneSince ?? .now
                        guard let since = goneSince, .now - since > Self.gonePatience else { break }
                        session.tell("pod-gone", "the container runtime knows the container's pod no longer")
                        session.tell(.targetGone)
                        return .toldToEnd(.targetGone)
                    }
                }
            } catch {
                if trouble != error.code { session.tell("not-reinjected", "not yet: \(error.message)") }
                trouble = error.code
            }
            pause = min(pause * 2, Self.looks.last)
            lookLater(session, after: pause)
        }
    }

    /// Asks the runtime after a while, and posts what it said. The session can be told to end meanwhile.
    private func lookLater(_ session: LiveSession, after time: Duration) {
        Task {
            await pause(time)
            guard session.machine.state == .waiting else { return }
            let found: Result<Successor<ResolvedTarget>, Problem>
            do throws(Problem) {
                found = .success(try await directory.successor(of: session.record.target))
            } catch {
                found = .failure(error)
            }
            if session.machine.state == .waiting { session.post(.looked(found)) }
        }
    }

    /// Puts the session on the container that took the place of its own. False when it is to end instead.
    ///
    /// - Throws: Why the fault is not to be applied to it.
    private func move(_ session: LiveSession, to target: ResolvedTarget) async throws(Problem) -> Bool {
        try refuseBeyondUse()
        let record = session.record
        let (fault, parameters) = try FaultCatalogue.fault(of: record.fault, parameters: record.parameters)
        let steps = try fault.steps(for: try observe(target))
        try await refuseStrangers(inNetworkOf: target, hitBy: steps, try policy.gate(for: record.tenant))
        let intents = try await runner.prepare(steps, on: target)
        let containers = try await containerCount(for: record.tenant)
        // As if it were asked for now: the policy may be another one.
        try requireAllowed(
            fault, parameters, for: record.duration, on: target, as: record.id, of: record.tenant, among: containers)
        try refuseBesideStuck(intents)
        guard !session.isToldToEnd else { return false }
        try await write([.moved(MovedSession(id: session.id, target: target.facts, intents: intents))])
        session.move(to: target, intents)
        watch(session, target)
        session.tell("target-returned", "it was started again, as \(target.facts.summary)")
        return true
    }
}
