import AgentAPI
import Authorization
import ChaosModel
import LinuxSystem
import Sessions

/// Decides whose request a token is and tells the scheduler what its tenant may do, with keys and policy as they are
/// now on disk.
actor RequestGate {
    private var keys: KeyDirectory
    private var policy: PolicyFile
    private let verifier: RequestVerifier
    private let scheduler: Scheduler
    /// The agent's own namespace, which nobody hits.
    private let ownNamespace: NamePattern?

    init(keys: KeyDirectory, policy: PolicyFile, node: String, ownNamespace: NamePattern?, scheduler: Scheduler) {
        self.keys = keys
        self.policy = policy
        self.ownNamespace = ownNamespace
        self.scheduler = scheduler
        verifier = RequestVerifier(node: node)
    }

    func verify(_ request: EnvelopeRequest) async throws(Problem) -> VerifiedRequest {
        await look()
        let envelope = try SignedEnvelope(token: request.token)
        return try verifier.verify(
            envelope, with: keys.keys, for: request.route.operation, session: request.session, now: wallSeconds())
    }

    /// Takes keys and policy as they are now. What is bad leaves in force what was good.
    func look() async {
        var hasChanged = false
        do {
            hasChanged = try keys.reloadIfChanged(at: .now)
        } catch {
            log("tenants' keys were not reloaded: \(error)")
        }
        if policy.reloadIfChanged(at: .now) {
            hasChanged = true
            log(policy.failure.map { "the policy was not reloaded: \($0)" } ?? "the policy was reloaded")
        }
        if hasChanged { await enforce() }
    }

    /// Makes the scheduler decide by what is in force.
    func enforce() async {
        await scheduler.use(policy.policy.protecting(ownNamespace), signers: keys.keys.signers)
    }

    /// Looks once a second while there are sessions: a key that is taken away takes them with it.
    func keepLooking() async {
        while !Task.isCancelled {
            // Cancelled, which is seen above.
            try? await Task.sleep(for: .seconds(1))
            if await scheduler.liveCount > 0 { await look() }
        }
    }

    /// Why the keys on disk are not those in force; nil when they are.
    var keysFailure: String? { keys.failure.map { "\($0)" } }
    /// Why the policy on disk is not the one in force; nil when it is.
    var policyFailure: String? { policy.failure }
}
