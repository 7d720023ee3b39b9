import AgentAPI
import Authorization
import ChaosModel
import LinuxSystem

/// Decides whose request a token is, with the keys as they are now on disk.
actor RequestGate {
    private var keys: KeyDirectory
    private let verifier: RequestVerifier

    init(keys: KeyDirectory, node: String) {
        self.keys = keys
        verifier = RequestVerifier(node: node)
    }

    func verify(_ request: EnvelopeRequest) throws(Problem) -> VerifiedRequest {
        do {
            _ = try keys.reloadIfChanged(at: .now)
        } catch {
            // The keys that were good stay in force.
            log("tenants' keys were not reloaded: \(error)")
        }
        let envelope = try SignedEnvelope(token: request.token)
        return try verifier.verify(
            envelope, with: keys.keys, for: request.route.operation, session: request.session, now: wallSeconds())
    }

    /// Why the keys on disk are not those in force; nil when they are.
    var failure: String? { keys.failure.map { "\($0)" } }
}
