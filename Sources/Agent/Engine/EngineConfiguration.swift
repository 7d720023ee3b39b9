import Audit
package import Authorization
package import Hardening
import Journal
package import Sessions
package import Steps

/// What an engine is started with.
package struct EngineConfiguration: Sendable {
    package var nodeName: String
    package var stateDirectory = Journal.standardDirectory
    package var tenantsDirectory = "/etc/squall/tenants"
    package var policyFile = "/etc/squall/policy.yaml"
    /// What the gateway serves TLS with; nil where it does not.
    package var tlsFiles: TLSFiles.Paths?
    /// The namespace of the agent's pod, which is never hit; nil where there is none.
    package var ownNamespace: NamePattern?
    package var runtimesSocket = "/run/squalld/runtimes.sock"
    package var workerProgram: String
    package var deadManProgram: String
    /// What the engine has given up for good, since the policy allowed no fault that needs it.
    package var givenUp: CapabilitySet = []
    package var gatewayUser: UInt32 = 65532
    /// Who is never hit by a fault on the network, beside those whom every node has.
    package var excluded: [ExcludedEndpoint] = []
    /// Of the host, by which it and the agent are reached: never hit with the whole host.
    package var sparedPorts = [SparedPort.ssh]
    /// What the audit log may have, in bytes.
    package var auditBytes = AuditLog.standardBytes
    package var limits = Scheduler.Limits()
    /// The engine's listening socket, opened by the keeper.
    package var listener: Int32 = 3

    /// - Parameter programDirectory: Where the agent's other programs are.
    package init(nodeName: String, programDirectory: String) {
        self.nodeName = nodeName
        self.workerProgram = "\(programDirectory)/squall-worker"
        self.deadManProgram = "\(programDirectory)/squall-deadman"
    }
}
