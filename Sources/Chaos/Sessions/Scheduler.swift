package import Authorization
import Cgroups
package import ChaosModel
import Dispatch
import Faults
package import Journal
package import LinuxSystem
package import Steps
package import Targets

/// Runs every session of the node: opens it, ends it in time, and tells what happened.
///
/// An actor on a Dispatch queue of its own; the timer and the pidfds of targets are Dispatch sources on that queue.
/// Steps run in the `StepRunner`, so a slow kernel call delays no deadline of another session by more than itself.
package actor Scheduler {
    package struct Limits: Sendable {
        package let liveSessions: Int
        package let remembered: Int
        package let rememberedAcrossRestarts: Int
        /// The journal is compacted when it has so many bytes, and twice as many as after the last time.
        package let journalBytes: Int

        package init(
            liveSessions: Int = 1000, remembered: Int = 1000, rememberedAcrossRestarts: Int = 250,
            journalBytes: Int = Journal.standardBytes
        ) {
            self.liveSessions = liveSessions
            self.remembered = remembered
            self.rememberedAcrossRestarts = rememberedAcrossRestarts
            self.journalBytes = journalBytes
        }
    }

    private let executor = DispatchExecutor(label: "squall.scheduler")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let journal: Journal
    private let runner: StepRunner
    let directory: any TargetDirectory
    private let bootID: String
    private let pidNamespace: UInt64?
    private let limits: Limits
    /// What this node cannot do, and why.
    private var missing: [NodeFeature: String] = [:]

    var live: [SessionID: LiveSession] = [:]
    /// Sessions that are over, the oldest first.
    private var past: [LiveSession] = []
    private var replay: ReplayStore
    /// Places taken by requests that are not sessions yet.
    private var opening = 0
    package private(set) var isDraining = false
    /// While it is set no session is opened.
    package internal(set) var halt: Halt?
    /// Commits that have not come back yet.
    private var commitsUnderWay = 0
    /// The length at which the journal is compacted next; nil when what it says must be kept as it is.
    private var compactionLength: Int?
    private var isCompacting = false
    private var waitingForCompaction: [CheckedContinuation<Void, Never>] = []
    private let timer: BootTimer
    private var timerWatch: DescriptorWatch?

    /// - Throws: The error of `timerfd_create(2)`.
    package init(
        journal: Journal, runner: StepRunner, directory: any TargetDirectory, bootID: String, replay: ReplayStore,
        limits: Limits = Limits()
    ) throws(SystemCallError) {
        self.journal = journal
        self.runner = runner
        self.directory = directory
        self.bootID = bootID
        self.pidNamespace = try pidNamespaceInode()
        self.replay = replay
        self.limits = limits
        timer = try BootTimer()
    }

    /// Refuses faults that need any of these, saying why.
    package func refuse(_ missing: [NodeFeature: String]) {
        self.missing = missing
    }

    /// Begins to watch the clock. Called once, before the first session.
    package func start() {
        timerWatch = DescriptorWatch(timer.descriptor.rawValue, on: executor.queue) { [weak self] in
            self?.assumeIsolated { $0.timerFired() }
        }
    }
}

// MARK: - Requests

extension Scheduler {
    /// What a request would do.
    package struct Plan: Sendable {
        package let fault: String
        package let summary: String
        package let parameters: JSON
        package let target: TargetFacts
        package let intents: [Intent]
        /// What is to be known before it is done: for people.
        package let notes: [String]
        package let duration: Duration
    }

    /// Carries a verified request as far as it goes without changing anything.
    package func plan(_ request: VerifiedRequest) async throws(Problem) -> Plan {
        guard case .plan(let injection) = request.demand else { throw Self.mismatch }
        _ = try take(request, session: nil)
        return try await prepare(injection).plan
    }

    /// Opens a session and answers once its fault is in effect.
    ///
    /// - Throws: Whatever refuses it, with nothing changed; `apply-failed` when a step could not be performed,
    ///   with everything undone.
    package func inject(_ request: VerifiedRequest) async throws(Problem) -> SessionReport {
        guard case .inject(let injection) = request.demand else { throw Self.mismatch }
        try refuseIfClosed()
        guard live.count + opening < limits.liveSessions else {
            throw Problem(
                .limitExceeded, "this node has \(live.count) live sessions, its limit is \(limits.liveSessions)")
        }
        let id = SessionID.random()
        let authorized = try take(request, session: id)
        opening += 1
        defer { opening -= 1 }

        let (target, plan) = try await prepare(injection)
        // Said again: much may have happened while the runtime was asked.
        try refuseIfClosed()
        let openedAt = BootInstant.now
        let record = OpenedSession(
            id: id, token: authorized.token, bootID: bootID, pidNamespace: pidNamespace, openedAt: openedAt.nanoseconds,
            deadline: (openedAt + plan.duration).nanoseconds, openedAtWall: wallSeconds(), fault: plan.fault,
            parameters: plan.parameters, summary: plan.summary, reason: injection.reason, lease: injection.lease,
            target: plan.target, intents: plan.intents)
        try await write([.opened(record)])

        let session = LiveSession(
            record: record, target: target, openedAt: openedAt,
            machine: SessionMachine(stepCount: plan.intents.count))
        live[id] = session
        session.tell("opened", "\(plan.summary), on \(plan.target.summary), for \(plan.duration.text)")
        for note in plan.notes { session.tell("note", note) }
        watch(session, target)
        if isDraining { session.post(.drained) }
        if halt != nil { session.post(.halted) }
        drive(session, session.machine.handle(.journaled))
        armTimer()
        await session.waitUntilSettled()
        if session.machine.ending == .applyFailed {
            let reason = session.events.last { $0.kind == "step-failed" }?.message ?? "a step failed"
            throw Problem(.applyFailed, reason, session: id)
        }
        return session.report
    }

    package func renew(_ request: VerifiedRequest) async throws(Problem) -> SessionReport {
        guard case .renew(let id) = request.demand else { throw Self.mismatch }
        let session = try session(id, of: request.tenant)
        guard let lease = session.record.lease else {
            throw Problem(.fieldInvalid, "the session was opened without a lease", field: "session")
        }
        guard session.machine.ending == nil else {
            throw Problem(.sessionEnded, "the session is already ending", session: session.id)
        }
        try await write([.tokenTaken(try take(request, session: id).token)])
        session.leaseEnd = .now + lease
        armTimer()
        return session.report
    }

    /// Ends a session and answers once it is undone, or stuck.
    package func end(_ request: VerifiedRequest) async throws(Problem) -> SessionReport {
        guard case .end(let id) = request.demand else { throw Self.mismatch }
        let session = try session(id, of: request.tenant)
        let token = try take(request, session: id).token
        // Ending comes first: a journal that cannot be written must not keep a fault in effect.
        let report = await end(session, .cancelled)
        try await write([.tokenTaken(token)])
        return report
    }

    package func read(_ request: VerifiedRequest) async throws(Problem) -> SessionReport {
        await measuredReport(of: try readable(request))
    }

    package func events(_ request: VerifiedRequest) throws(Problem) -> AsyncStream<SessionEvent> {
        try readable(request).subscribe(on: executor.queue)
    }

    /// The tenant's own sessions, the newest first.
    package func list(_ request: VerifiedRequest) throws(Problem) -> [SessionReport] {
        guard case .list = request.demand else { throw Self.mismatch }
        _ = try take(request, session: nil)
        return reports { $0.record.tenant == request.tenant }
    }

    private func readable(_ request: VerifiedRequest) throws(Problem) -> LiveSession {
        guard case .read(let id) = request.demand else { throw Self.mismatch }
        let session = try session(id, of: request.tenant)
        _ = try take(request, session: id)
        return session
    }

    private static var mismatch: Problem {
        Problem(.operationMismatch, "the token is for another operation", field: "op")
    }

    private func refuseIfClosed() throws(Problem) {
        if isDraining { throw Problem(.draining, "the agent is stopping and takes no new session") }
        if let halt {
            throw Problem(
                .halted, "an operator has halted this node\(halt.reason.map { ": \($0)" } ?? "")",
                hint: "`squall resume` on the node, by an operator")
        }
    }

    private func prepare(
        _ injection: InjectionRequest
    ) async throws(Problem) -> (target: ResolvedTarget, plan: Plan) {
        let (fault, parameters) = try FaultCatalogue.fault(of: injection.fault, parameters: injection.parameters)
        if let feature = (type(of: fault).needs + [.deadMansProcess]).first(where: { missing[$0] != nil }),
            let reason = missing[feature]
        {
            throw Problem(
                .faultUnsupported, "\(injection.fault) does not work on this node: \(reason)", field: "fault",
                hint: "`squall doctor` on the node names the remedy")
        }
        let target = try await directory.resolve(injection.target)
        let observation = try observe(target)
        let steps = try fault.plan(for: observation)
        let intents = try await runner.prepare(steps, on: target)
        let plan = Plan(
            fault: injection.fault, summary: fault.summary, parameters: parameters, target: target.facts,
            intents: intents, notes: fault.notes(on: observation), duration: injection.duration)
        return (target, plan)
    }

    /// `/proc/meminfo`; nil where it does not say.
    private static func nodeMemory() throws(CgroupFileError) -> NodeMemory? {
        let text: String
        do throws(SystemCallError) {
            text = try TextFile.read("/proc/meminfo")
        } catch {
            throw .system(error)
        }
        func bytes(_ name: String) -> ByteCount? {
            let line = text.split(separator: "\n").first { $0.hasPrefix(name + ":") }
            return line.flatMap { Int64($0.filter(\.isNumber)) }.map { ByteCount($0 * 1024) }
        }
        guard let total = bytes("MemTotal"), let available = bytes("MemAvailable") else { return nil }
        return NodeMemory(total: total, available: available)
    }

    private func observe(_ target: ResolvedTarget) throws(Problem) -> TargetObservation {
        do throws(CgroupFileError) {
            return TargetObservation(
                facts: target.facts, cpuCount: target.cpuCount, isOnHostNetwork: target.isOnHostNetwork,
                memoryLimit: try target.cgroup.memoryLimit().map { ByteCount($0.bytes) },
                nodeMemory: try Self.nodeMemory(),
                diesTogether: try target.cgroup.diesTogether())
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
    }

    /// Another tenant's session is as if it did not exist.
    private func session(_ id: SessionID, of tenant: Tenant) throws(Problem) -> LiveSession {
        let session = try known(id)
        guard session.record.tenant == tenant else { throw Self.unknownSession }
        return session
    }

    private func take(_ request: VerifiedRequest, session: SessionID?) throws(Problem) -> AuthorizedRequest {
        try replay.take(request, for: session, now: wallSeconds())
    }

    func write(_ entries: [JournalEntry]) async throws(Problem) {
        do {
            try await commit(entries)
        } catch {
            throw Problem(
                .journalUnavailable, "nothing was changed, because it could not be made durable: \(error)",
                hint: "see `squall doctor` on the node")
        }
    }
}

// MARK: - Operators

extension Scheduler {
    package func reports() -> [SessionReport] { reports { _ in true } }

    package func report(of id: SessionID) async throws(Problem) -> SessionReport {
        await measuredReport(of: try known(id))
    }

    package func events(of id: SessionID) throws(Problem) -> AsyncStream<SessionEvent> {
        try known(id).subscribe(on: executor.queue)
    }

    package func revert(_ id: SessionID) async throws(Problem) -> SessionReport {
        await end(try known(id), .cancelled)
    }

    package var liveCount: Int { live.count }
    package var stuckSessions: [OpenedSession] { live.values.filter { $0.machine.state == .stuck }.map(\.record) }
    package var stuckCount: Int { live.values.count { $0.machine.state == .stuck } }

    /// Takes no new session and reverts all that live. Returns when none is left, or none but stuck ones.
    package func drain() async {
        isDraining = true
        await endAll(.drained)
    }

    /// Returns when no session is left, or none but stuck ones. New ones are refused meanwhile.
    func endAll(_ ending: Ending) async {
        for session in live.values { session.post(ending) }
        // A request that was being opened when this began either ends by itself or becomes a session first.
        while opening > 0 || live.values.contains(where: { $0.machine.state != .stuck }) {
            if let session = live.values.first(where: { $0.machine.state != .stuck }) {
                await session.waitUntilChanged()
            } else {
                await pause(.milliseconds(5))
            }
        }
    }

    private func known(_ id: SessionID) throws(Problem) -> LiveSession {
        guard let session = live[id] ?? past.first(where: { $0.id == id }) else { throw Self.unknownSession }
        return session
    }

    private static var unknownSession: Problem {
        Problem(.sessionNotFound, "there is no such session on this node")
    }

    private func reports(where isWanted: (LiveSession) -> Bool) -> [SessionReport] {
        (past + live.values).filter(isWanted).sorted {
            ($0.record.openedAtWall, $0.id.text) > ($1.record.openedAtWall, $1.id.text)
        }.map(\.report)
    }

    private func end(_ session: LiveSession, _ ending: Ending) async -> SessionReport {
        session.post(ending)
        while session.machine.state != .ended && session.machine.state != .stuck {
            await session.waitUntilChanged()
        }
        return session.report
    }
}

// MARK: - Driving a session

extension Scheduler {
    private func drive(_ session: LiveSession, _ first: SessionMachine.Action) {
        session.driver = Task { await self.carryOut(first, for: session) }
    }

    /// Carries out what the machine decides until the session is over.
    private func carryOut(_ first: SessionMachine.Action, for session: LiveSession) async {
        var action = first
        while true {
            session.announceChange()
            switch action {
            case .perform(let step):
                action = session.machine.handle(await perform(step, of: session))
            case .wait:
                session.tell("active", "the fault is in effect")
                let ending = await session.nextEnding()
                session.tell("ending", "the session ends: \(ending.words)")
                await measure(session)
                for step in session.steps {
                    if let effect = step.effect { session.tell("effect", effect.words) }
                }
                action = session.machine.handle(.toldToEnd(ending))
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

    private func perform(_ step: Int, of session: LiveSession) async -> SessionMachine.Event {
        guard let target = session.target else { preconditionFailure("a recovered session performs no step") }
        let intent = session.record.intents[step]
        let id = session.id
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
            session.tell("step-failed", "\(error)")
            event = .stepFailed
        }
        for ending in session.takeMailbox() {
            session.tell("ending", "the session ends: \(ending.words)")
            _ = session.machine.handle(.toldToEnd(ending))
        }
        return event
    }

    private func undo(_ step: Int, of session: LiveSession) async -> SessionMachine.Event {
        let progress = await runner.undo(
            session.record.intents[step], step: step, of: session.id, isOfThisBoot: session.record.bootID == bootID)
        switch progress {
        case .unfinished(let delay):
            return .undoUnfinished(callAgainAfter: delay)
        case .done(let outcome):
            session.steps[step].undo = outcome
            switch outcome {
            case .restored, .alreadyRestored:
                session.tell("step-undone", "\(outcome.word): \(session.steps[step].summary)")
            case .drifted(let found): session.tell("step-drifted", "left alone, changed by somebody else: \(found)")
            case .failed(let reason): session.tell("undo-failed", "will be tried again: \(reason)")
            }
            return .stepUndone(outcome)
        }
    }

    private func pause(_ duration: Duration) async {
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
        session.tell("ended", ending.words)
        live[session.id] = nil
        past.append(session)
        if past.count > limits.remembered { past.removeFirst(past.count - limits.remembered) }
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
            guard session.machine.ending == nil else { return }
            if isOutOfMemory {
                let tenths = Int64(((BootInstant.now - session.openedAt).seconds * 10).rounded())
                session.tell("worker-oom-killed", "stressor OOM-killed at \(tenths / 10).\(tenths % 10) s")
            } else {
                session.tell("worker-ended", "the worker ended before its time: \(how)")
            }
            session.post(.faultEnded)
        case .outOfMemory(let kills):
            session.tell(
                "target-oom-killed", "memory ran out: the kernel killed \(kills) of the target's processes")
        }
    }

    /// At most once a second, and only when somebody asks.
    private func measuredReport(of session: LiveSession) async -> SessionReport {
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

// MARK: - Recovery

extension Scheduler {
    /// Takes back what an earlier agent left. Returns when each session is undone or stuck; stuck ones go on being tried.
    package func recover(_ sessions: [OpenedSession]) async {
        let all = sessions.map { record in
            LiveSession(
                record: record, target: nil, openedAt: BootInstant(nanoseconds: record.openedAt),
                machine: SessionMachine(recovering: record.intents.count))
        }
        for session in all {
            live[session.id] = session
            if session.record.bootID == bootID {
                session.tell("recovering", "the agent was restarted and takes the session back")
            } else {
                session.tell("rebooted", "the node was restarted: only what lies on a disk can be left")
            }
        }
        for session in all { drive(session, session.machine.recoveryAction) }
        for session in all { await session.waitUntilSettled() }
    }

    /// Remembers sessions that an earlier agent saw to their end, the oldest first, and that it was halted.
    package func remember(_ sessions: [PastSession], halt: Halt?) {
        self.halt = halt
        past = sessions.suffix(limits.remembered).map { LiveSession($0) } + past
    }
}

// MARK: - The journal

extension Scheduler {
    private func commit(_ entries: [JournalEntry]) async throws(JournalError) {
        while isCompacting { await withCheckedContinuation { waitingForCompaction.append($0) } }
        commitsUnderWay += 1
        defer { commitsUnderWay -= 1 }
        let length = try await journal.commit(entries)
        guard let compactionLength, length >= compactionLength, !isCompacting else { return }
        isCompacting = true
        // Whoever waits for this commit takes note of it first, in this turn of the actor.
        Task { await compactAgain(length) }
    }

    /// Rewrites the journal without what no longer matters, and again whenever it has grown.
    ///
    /// - Parameter scan: What the journal said when it was opened.
    package func compactJournal(_ scan: JournalScan) async throws(JournalError) {
        isCompacting = true
        compactionLength = limits.journalBytes
        try await whenQuiet { () async throws(JournalError) in
            try await compact(tokens: scan.tokens, halt: scan.halt, highWater: scan.highWater)
        }
    }

    private func compactAgain(_ length: Int) async {
        do {
            try await whenQuiet { () async throws(JournalError) in
                try await compact(tokens: replay.tokens, halt: halt, highWater: replay.highWater)
            }
        } catch {
            // A full disk, mostly. The journal is as it was, and this is tried again when it has grown.
            compactionLength = length * 2
        }
    }

    /// With no commit under way, and none beginning, what is remembered here is what the journal says.
    private func whenQuiet(_ body: () async throws(JournalError) -> Void) async throws(JournalError) {
        defer {
            isCompacting = false
            let waiting = waitingForCompaction
            waitingForCompaction = []
            for each in waiting { each.resume() }
        }
        while commitsUnderWay > 0 { await pause(.milliseconds(1)) }
        try await body()
    }

    private func compact(tokens: [TakenToken], halt: Halt?, highWater: Int64) async throws(JournalError) {
        let over = past.compactMap { session in
            session.machine.ending.map { PastSession(opened: session.record, ended: session.ended($0)) }
        }
        let length = try await journal.compact(
            keeping: live.values.map(\.record), past: over.suffix(limits.rememberedAcrossRestarts),
            tokens: tokens, halt: halt, highWater: highWater)
        compactionLength = max(limits.journalBytes, 2 * length)
    }
}

// MARK: - Time and targets

extension Scheduler {
    private func timerFired() {
        let now = BootInstant.now
        for session in live.values {
            guard let instant = session.nextInstant, instant <= now else { continue }
            session.post(session.deadline <= now ? .expired : .leaseLapsed)
        }
        armTimer()
    }

    private func armTimer() {
        do {
            try timer.arm(for: live.values.compactMap(\.nextInstant).min())
        } catch {
            preconditionFailure("the deadline timer cannot be armed: \(error)")
        }
    }

    private func watch(_ session: LiveSession, _ target: ResolvedTarget) {
        guard let pidfd = target.processDescriptor else { return }
        let id = session.id
        session.watch = DescriptorWatch(
            pidfd, on: executor.queue,
            // The target's handles stay open as long as they are looked at.
            onCancel: { withExtendedLifetime(target) {} },
            onReadable: { [weak self] in self?.assumeIsolated { $0.targetEnded(id) } })
    }

    private func targetEnded(_ id: SessionID) {
        guard let session = live[id] else { return }
        session.watch = nil
        guard session.machine.ending == nil else { return }
        session.tell("target-gone", "the target's process ended")
        session.post(.targetGone)
    }
}
