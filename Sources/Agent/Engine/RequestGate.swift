import AgentAPI
import Audit
import Authorization
import ChaosModel
import Dispatch
import Glibc
import LinuxSystem
import Sessions
import Synchronization

/// Decides whose request a token is and tells the scheduler what its tenant may do, with keys and policy as they are
/// now on disk.
actor RequestGate {
    private var keys: KeyDirectory
    private var policy: PolicyFile
    private let verifier: RequestVerifier
    private var rates = RequestRates()
    private let scheduler: Scheduler
    private let audit: AuditLog
    /// The agent's own namespace, which nobody hits.
    private let ownNamespace: NamePattern?
    /// What was in force when it was looked at last.
    private nonisolated let inForce: Mutex<(keys: KeyDirectory, policy: PolicyFile)>

    init(
        keys: KeyDirectory, policy: PolicyFile, node: String, ownNamespace: NamePattern?, scheduler: Scheduler,
        audit: AuditLog
    ) {
        self.keys = keys
        self.policy = policy
        self.ownNamespace = ownNamespace
        self.scheduler = scheduler
        self.audit = audit
        verifier = RequestVerifier(node: node)
        inForce = Mutex((keys, policy))
    }

    func verify(_ request: EnvelopeRequest) async throws(Problem) -> VerifiedRequest {
        await look()
        let envelope = try SignedEnvelope(token: request.token)
        let (operation, now) = (request.route.operation, wallSeconds())
        guard let error = WallClock.knownError else {
            return try verifier.verify(envelope, with: keys.keys, for: operation, on: request.scope, now: now)
        }
        // What was to be over and is not may last for long.
        let rest = error.end.map { $0 - .now }.flatMap { $0 > .zero ? $0.components.seconds + 1 : nil }
        return try verifier.verify(
            envelope, with: keys.keys, for: operation, on: request.scope, now: now,
            wrongClockAheadBy: error.ahead.components.seconds, for: rest)
    }

    /// Decides whether a genuine request may come from where it came from, and now.
    func admit(_ verified: VerifiedRequest, from request: EnvelopeRequest) throws(Problem) -> VerifiedRequest {
        // Nobody uses up what is another's.
        let recognized = try policy.policy.recognize(verified, by: request.identities)
        let grant = policy.policy.tenants[verified.tenant] ?? Grant()
        try rates.take(recognized, perSecond: grant.requestsPerSecond, at: .now)
        return recognized
    }

    /// Takes keys and policy as they are now. What is bad leaves in force what was good.
    func look() async {
        let reload = keys.reloadIfChanged(at: .now)
        var hasChanged = reload.hasChanged
        if hasChanged { audit.record(AuditEvent(.keys, [("count", .integer(Int64(keys.keys.count)))])) }
        for problem in reload.problems {
            log("a tenant's keys were not reloaded: \(problem)", .error)
            audit.record(AuditEvent(.keys, [("problem", .string("\(problem)"))]))
        }
        if policy.reloadIfChanged(at: .now) {
            hasChanged = true
            recordPolicy()
            if let failure = policy.failure {
                log("the policy was not reloaded: \(failure)", .error)
            } else {
                log("the policy was reloaded")
            }
        }
        inForce.withLock { $0 = (keys, policy) }
        if hasChanged { await enforce() }
    }

    private func recordPolicy() {
        audit.record(
            AuditEvent(.policy, [("hash", policy.hash.map(JSON.string)), ("problem", policy.failure.map(JSON.string))]))
    }

    /// Says what there is to begin with.
    func begin() async {
        for failure in keys.failures { log("a tenant's keys were not loaded: \(failure)", .error) }
        if let failure = policyFailure { log("there is no policy, so nobody may do anything: \(failure)", .error) }
        recordPolicy()
        await enforce()
    }

    /// Makes the scheduler decide by what is in force.
    private func enforce() async {
        await scheduler.use(policy.policy.protecting(ownNamespace), signers: keys.keys.signers)
    }

    /// Looks once a second while there are sessions: a key that is taken away takes them with it, and so does a node that
    /// fares too badly. On a thread of its own, which wakes no other where nothing has changed, and sleeps where there is
    /// no session.
    nonisolated func keepLooking() throws(SystemCallError) {
        let thread = try startThread { [self] in
            while true {
                scheduler.presence.waitUntilAny()
                sleep(1)
                guard hasToLook else { continue }
                let isDone = DispatchSemaphore(value: 0)
                Task {
                    await look()
                    await scheduler.checkHealth()
                    isDone.signal()
                }
                isDone.wait()
            }
        }
        pthread_detach(thread)
    }

    private nonisolated var hasToLook: Bool {
        let (keys, policy) = inForce.withLock { $0 }
        return keys.isOutdated || policy.isOutdated || scheduler.crossing(policy.policy.guardrails.abortLine) != nil
    }

    /// Why the keys on disk are not those in force; nil when they are.
    var keysFailure: String? {
        let others = keys.failures.count - 1
        return keys.failures.first.map { "\($0)" + (others > 0 ? "; and \(others) more" : "") }
    }
    /// Why the policy on disk is not the one in force; nil when it is.
    var policyFailure: String? { policy.failure }
}
