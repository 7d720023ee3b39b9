package import Audit
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
    /// What an agent may use of its node. At a bound a new session is refused, and nothing else changes.
    package struct Limits: Sendable {
        /// What an agent needs for itself and one session.
        package static let fewestDescriptors = 200

        /// Sessions at once.
        package var sessions = 1000
        /// Workers at once, each a process.
        package var workers = 1000
        /// Memory of the engine, in bytes.
        package var memory = 512 << 20
        /// The journal's length, in bytes.
        package var journal = 64 << 20
        /// The journal is compacted when it has so many bytes, and twice as many as after the last time.
        package var compaction = Journal.standardBytes
        /// Sessions that are over, and can still be asked for.
        package var remembered = 1000
        package var rememberedAcrossRestarts = 250

        package init() {}
    }

    let executor = DispatchExecutor(label: "squall.scheduler")
    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let journal: Journal
    let runner: StepRunner
    let directory: any TargetDirectory
    let audit: AuditLog
    let bootID: String
    let pidNamespace: UInt64?
    let limits: Limits
    /// The faults that do not work on this node, and why.
    var unworkable: [String: String] = [:]

    var live: [SessionID: LiveSession] = [:] { didSet { presence.set(!live.isEmpty) } }
    package nonisolated let presence = SessionPresence()
    /// Sessions that are over, the oldest first.
    var past: [LiveSession] = []
    var replay: ReplayStore
    /// Who may do what, and whose word counts.
    var policy = Policy()
    var signers: Set<Signer> = []
    /// Places taken by requests that are not sessions yet.
    var openings: [SessionID: CountedSession] = [:]
    var opening: Int { openings.count }
    /// Tenants of whose a group is being prepared.
    var preparingGroups: Set<Tenant> = []
    /// How long that may take: a token lives twice as long, mostly, and the client waits.
    static let groupPreparation = Duration.seconds(15)
    package internal(set) var isDraining = false
    /// While it is set no session is opened.
    package internal(set) var halt: Halt?
    /// Commits that have not come back yet.
    var commitsUnderWay = 0
    package internal(set) var journalLength = 0
    /// When it was last tried whether it can be written again.
    var journalTriedAt: BootInstant?
    /// The length at which the journal is compacted next; nil when what it says must be kept as it is.
    var compactionLength: Int?
    var isCompacting = false
    var waitingForCompaction: [CheckedContinuation<Void, Never>] = []
    package internal(set) var counts = Counts()
    let listener: @Sendable (SessionEvent, OpenedSession) -> Void
    private let timer: BootTimer
    private var timerWatch: DescriptorWatch?

    /// - Parameter listener: Told of each event of each session when it happens; not to be waited for.
    /// - Throws: The error of `timerfd_create(2)`.
    package init(
        journal: Journal, runner: StepRunner, directory: any TargetDirectory, audit: AuditLog, bootID: String,
        replay: ReplayStore, limits: Limits = Limits(),
        telling listener: @escaping @Sendable (SessionEvent, OpenedSession) -> Void = { _, _ in }
    ) throws(SystemCallError) {
        self.listener = listener
        self.journal = journal
        self.runner = runner
        self.directory = directory
        self.audit = audit
        self.bootID = bootID
        self.pidNamespace = try pidNamespaceInode()
        self.replay = replay
        self.limits = limits
        timer = try BootTimer()
    }

    /// Refuses these faults, saying why.
    package func refuse(_ unworkable: [String: String]) {
        self.unworkable = unworkable
    }

    /// Decides by this policy from now on. Sessions are ended whose tenant it does not name, or whose signer is none of
    /// these, and those that are yet to take the host down and may not any more; what else has changed is for sessions to
    /// come.
    package func use(_ policy: Policy, signers: Set<Signer>) {
        self.policy = policy
        self.signers = signers
        for session in live.values where session.nextInstant != nil {
            if !isTrusted(session) { session.post(.end(.revoked)) }
        }
    }

    /// A session that an earlier agent left is on its way out in any case.
    func isTrusted(_ session: LiveSession) -> Bool {
        guard let signer = session.signer else { return true }
        guard signers.contains(signer), let gate = try? policy.gate(for: signer.tenant) else { return false }
        return !session.takesHostDown || gate.stillAllowsPower(by: session.record.fault)
    }

    /// Begins to watch the clock. Called once, before the first session.
    package func start() {
        timerWatch = DescriptorWatch(timer.descriptor.rawValue, on: executor.queue) { [weak self] in
            self?.assumeIsolated { $0.timerFired() }
        }
    }
}

// MARK: - Recovery

extension Scheduler {
    /// Takes back what an earlier agent left. Returns when each session is undone or stuck; stuck ones go on being tried.
    package func recover(_ sessions: [OpenedSession]) async {
        counts.orphans = sessions.count
        let all = sessions.map { record in
            LiveSession(
                record: record, target: nil, openedAt: BootInstant(nanoseconds: record.openedAt),
                machine: SessionMachine(recovering: record.intents.count), listener: listener)
        }
        for session in all {
            live[session.id] = session
            if session.record.bootID == bootID {
                session.tell("recovering", "the agent was restarted and takes the session back")
            } else {
                session.tell("rebooted", "the node was restarted: only what lies on a disk can be left")
                session.noteEndOfBoot()
            }
        }
        for session in all where session.record.bootID == bootID {
            await runner.adopt(session.record.intents, of: session.id)
        }
        for session in all { drive(session, session.machine.recoveryAction) }
        for session in all { await session.waitUntilSettled() }
    }

    /// Remembers sessions that an earlier agent saw to their end, the oldest first, and that it was halted.
    package func remember(_ sessions: [PastSession], halt: Halt?, journalLength: Int) {
        self.halt = halt
        self.journalLength = journalLength
        past = sessions.suffix(limits.remembered).map { LiveSession($0.told(inBoot: bootID)) } + past
    }
}

// MARK: - Time and targets

extension Scheduler {
    func timerFired() {
        let now = BootInstant.now
        for session in live.values {
            guard let instant = session.nextInstant, instant <= now else { continue }
            session.post(.end(session.deadline <= now ? .expired : .leaseLapsed))
        }
        armTimer()
    }

    func armTimer() {
        do {
            try timer.arm(for: live.values.compactMap(\.nextInstant).min())
        } catch {
            preconditionFailure("the deadline timer cannot be armed: \(error)")
        }
    }

    func watch(_ session: LiveSession, _ target: ResolvedTarget) {
        guard let pidfd = target.processDescriptor else { return }
        let id = session.id
        session.watch = DescriptorWatch(
            pidfd, on: executor.queue,
            // The target's handles stay open as long as they are looked at.
            onCancel: { withExtendedLifetime(target) {} },
            onReadable: { [weak self] in self?.assumeIsolated { $0.targetEnded(id) } })
    }

    func targetEnded(_ id: SessionID) {
        guard let session = live[id] else { return }
        session.watch = nil
        guard session.machine.ending == nil else { return }
        let kills = session.outOfMemoryKills
        if kills > 0 {
            session.tell("target-oom-killed", "memory ran out: the kernel killed \(kills) of the target's processes")
        }
        if session.record.intents.contains(where: \.outlivesTarget) {
            return session.tell("target-stopped", "the target's process ended, as it was to")
        }
        session.tell("target-gone", "the target's process ended")
        session.post(session.record.onRestart == .reinject ? .targetLost : .end(.targetGone))
    }
}
