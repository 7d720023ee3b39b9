import Authorization
import Cgroups
import ChaosModel
import Dispatch
import Journal
import LinuxSystem
import Steps
import Targets

/// One session while it lives, owned by the scheduler and touched on its queue only.
final class LiveSession {
    /// What happened that the driver has to know.
    enum Message {
        case end(Ending)
        /// The target's process has ended, and the session waits for another one in its place.
        case targetLost
        /// The runtime was asked for a container in the place of the target.
        case looked(Result<Successor<ResolvedTarget>, Problem>)
    }

    let id: SessionID
    let tenant: Tenant
    private(set) var record: OpenedSession
    /// Whose key has opened it; nil for a session that an earlier agent left.
    let signer: Signer?
    /// The handles; nil for a session that an earlier agent left.
    private(set) var target: ResolvedTarget?
    let openedAt: BootInstant
    var machine: SessionMachine
    var steps: [SessionReport.StepReport]
    /// Steps on containers before this one that could not be undone whole, as somebody else had a hand in it.
    private var drifted: [SessionReport.StepReport] = []
    var leaseEnd: BootInstant?
    /// Since when its fault is being applied.
    var applyingSince: BootInstant?
    /// When it was first told to end, whatever it was doing; nil for one that ends because it could not be applied.
    private(set) var toldToEndAt: BootInstant?
    /// Whether its worker has ended before it was told to.
    var isWorkerGone = false
    /// When its effect was last looked at.
    var measuredAt: BootInstant?
    /// The first ones and the last: their numbers tell how many are left out between.
    private(set) var events: [SessionEvent] = []
    private var told = 0
    private static let mostEvents = 256
    private static let mostDrifted = 4
    private static let firstOfPast = 16
    private static let lastOfPast = 48
    private static let mostBytesOfMessage = 2048
    /// How many follow a session's events at once, and all of a tenant's sessions' together.
    static let mostSubscribers = (ofSession: 16, ofTenant: 64)
    private var subscribers: [Int: AsyncStream<SessionEvent>.Continuation] = [:]
    private var nextSubscriber = 0

    typealias Listener = @Sendable (SessionEvent, OpenedSession) -> Void
    /// Told of each event when it happens.
    private let listener: Listener?

    /// What the driver has not looked at yet.
    private var mailbox: [Message] = []
    private var waiter: CheckedContinuation<Message, Never>?
    /// Processes of the target that had been killed for want of memory when it became the session's; nil if nobody knows.
    private var killsBefore: Int64?
    private(set) var isToldToEnd = false
    /// Whoever wants to know that the session has got further.
    private var observers: [CheckedContinuation<Void, Never>] = []
    var watch: DescriptorWatch?
    /// Drives the session; the scheduler owns it through this session.
    var driver: Task<Void, Never>?

    init(
        record: OpenedSession, signer: Signer? = nil, target: ResolvedTarget?, openedAt: BootInstant,
        machine: SessionMachine, listener: Listener? = nil
    ) {
        self.listener = listener
        id = record.id
        tenant = record.tenant
        self.record = record
        self.signer = signer
        self.target = target
        self.openedAt = openedAt
        self.machine = machine
        steps = record.intents.map { SessionReport.StepReport(summary: $0.summary) }
        leaseEnd = record.lease.map { openedAt + $0 }
        killsBefore = try? target?.cgroup.outOfMemoryKills()
    }

    /// A session that an earlier agent saw to its end: its report is remembered, its events are not.
    convenience init(_ past: PastSession) {
        self.init(
            record: past.opened, target: nil, openedAt: BootInstant(nanoseconds: past.opened.openedAt),
            machine: SessionMachine(ended: past.ended.ending, stepCount: past.opened.intents.count))
        for (index, step) in past.ended.steps.enumerated() {
            if index == steps.count { steps.append(SessionReport.StepReport(summary: "on a container before")) }
            steps[index].performed = step.performed
            steps[index].undo = step.undo
            steps[index].effect = step.effect
        }
        tell("ended", "\(past.ended.ending.words); the agent was restarted since, and remembers no other event")
    }

    /// What is remembered when it is over.
    func ended(_ ending: Ending) -> EndedSession {
        EndedSession(
            id: id, ending: ending,
            steps: (steps + drifted).map {
                EndedSession.Step(performed: $0.performed, undo: $0.undo, effect: $0.effect)
            })
    }

    var deadline: BootInstant { BootInstant(nanoseconds: record.deadline) }
    var takesHostDown: Bool {
        record.intents.contains { intent in
            if case .shutDown = intent { true } else { false }
        }
    }
    /// When the scheduler must look at the session; nil once it has been told to end.
    var nextInstant: BootInstant? {
        guard !isToldToEnd, machine.ending == nil else { return nil }
        return leaseEnd.map { min($0, deadline) } ?? deadline
    }

    // MARK: What happens to it

    func tell(_ kind: String, _ message: String) {
        let event = SessionEvent(
            sequence: told, offset: max(.zero, BootInstant.now - openedAt), kind: kind,
            message: message.cut(to: Self.mostBytesOfMessage), trace: record.trace)
        told += 1
        if events.count == Self.mostEvents { events.remove(at: Self.firstOfPast) }
        events.append(event)
        for subscriber in subscribers.values { subscriber.yield(event) }
        listener?(event, record)
    }

    /// Tells why it is about to end.
    func tell(_ ending: Ending) {
        tell("ending", "the session ends: \(ending.words)")
    }

    /// Tells the driver. Of reasons to end the first one counts.
    func post(_ message: Message) {
        if case .end = message {
            isToldToEnd = true
            toldToEndAt = toldToEndAt ?? .now
        }
        if let waiter {
            self.waiter = nil
            waiter.resume(returning: message)
        } else {
            mailbox.append(message)
        }
    }

    /// The reasons to end that were posted since the driver last looked.
    func takeEndings() -> [Ending] {
        let endings = mailbox.compactMap { if case .end(let ending) = $0 { ending } else { nil } }
        mailbox.removeAll { if case .end = $0 { true } else { false } }
        return endings
    }

    func nextMessage(isolation: isolated any Actor = #isolation) async -> Message {
        if !mailbox.isEmpty { return mailbox.removeFirst() }
        return await withCheckedContinuation { waiter = $0 }
    }

    /// What is only waited for holds nothing open.
    func letGoOfTarget() {
        watch?.cancel()
        watch = nil
        target = nil
    }

    /// The host went down while it lived: what that was for, is done.
    func noteEndOfBoot() {
        for (index, intent) in record.intents.enumerated() {
            guard let how = intent.endOfBoot else { continue }
            steps[index].performed = true
            steps[index].effect = .hostWentDown(how)
        }
    }

    /// Puts the session, undone before, on another target.
    func move(to target: ResolvedTarget, _ intents: [Intent]) {
        watch?.cancel()
        drifted += steps.filter { if case .drifted = $0.undo { true } else { false } }
        drifted.removeFirst(max(0, drifted.count - Self.mostDrifted))
        record.target = target.facts
        record.intents = intents
        steps = intents.map { SessionReport.StepReport(summary: $0.summary) }
        measuredAt = nil
        isWorkerGone = false
        killsBefore = try? target.cgroup.outOfMemoryKills()
        self.target = target
    }

    /// Processes of the target that were killed for want of memory since it became the session's.
    var outOfMemoryKills: Int64 {
        guard let before = killsBefore, let now = try? target?.cgroup.outOfMemoryKills() else { return 0 }
        return now - before
    }

    // MARK: Who waits for it

    /// Returns when the session has got further.
    func waitUntilChanged(isolation: isolated any Actor = #isolation) async {
        await withCheckedContinuation { observers.append($0) }
    }

    /// Returns when the session is active, over, or cannot get further for now.
    func waitUntilSettled(isolation: isolated any Actor = #isolation) async {
        while true {
            switch machine.state {
            case .active, .waiting, .stuck, .ended: return
            case .pending, .applying, .reverting: await waitUntilChanged()
            }
        }
    }

    /// Returns when the session is over, or cannot be undone for now.
    func waitUntilOver(isolation: isolated any Actor = #isolation) async {
        while machine.state != .ended && machine.state != .stuck { await waitUntilChanged() }
    }

    var subscriberCount: Int { subscribers.count }

    func announceChange() {
        let waiting = observers
        observers = []
        for observer in waiting { observer.resume() }
    }

    /// All events so far and those to come; the stream ends with the session.
    ///
    /// - Parameter queue: The scheduler's.
    func subscribe(on queue: DispatchQueue) -> AsyncStream<SessionEvent> {
        // Whoever reads too slowly misses what comes in between.
        let (stream, continuation) = AsyncStream.makeStream(
            of: SessionEvent.self, bufferingPolicy: .bufferingNewest(Self.mostEvents))
        for event in events { continuation.yield(event) }
        if machine.state == .ended {
            continuation.finish()
        } else {
            let number = nextSubscriber
            nextSubscriber += 1
            subscribers[number] = continuation
            nonisolated(unsafe) weak let session = self
            continuation.onTermination = { _ in queue.async { session?.subscribers[number] = nil } }
        }
        return stream
    }

    func close() {
        for subscriber in subscribers.values { subscriber.finish() }
        subscribers = [:]
        letGoOfTarget()
        mailbox = []
        driver = nil
        if events.count > Self.firstOfPast + Self.lastOfPast {
            events.removeSubrange(Self.firstOfPast..<events.count - Self.lastOfPast)
        }
    }

    var report: SessionReport {
        SessionReport(
            id: id, group: record.group, tenant: tenant, fault: record.fault,
            parameters: record.parameters,
            summary: record.summary, reason: record.reason, trace: record.trace, target: record.target,
            openedAt: record.openedAtWall,
            duration: record.duration,
            lease: record.lease, onRestart: record.onRestart, state: machine.state,
            remaining: [.active, .waiting].contains(machine.state) ? deadline - .now : nil, ending: machine.ending,
            steps: steps + drifted)
    }
}

extension PastSession {
    /// As it is told in this boot: a host that had been ordered to go down by the end of it has, when this is another one.
    func told(inBoot bootID: String) -> PastSession {
        guard opened.bootID != bootID else { return self }
        let steps = ended.steps.map { step in
            guard case .hostOrdered(let how) = step.effect else { return step }
            return EndedSession.Step(performed: step.performed, undo: step.undo, effect: .hostWentDown(how))
        }
        return PastSession(opened: opened, ended: EndedSession(id: ended.id, ending: ended.ending, steps: steps))
    }
}
