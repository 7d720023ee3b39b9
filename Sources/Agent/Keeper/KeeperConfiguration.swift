package import LinuxSystem

/// Where the agent lives on its node.
package struct KeeperConfiguration: Sendable {
    /// The API's socket lies here; experiment pods see this directory.
    package var runDirectory = "/run/squall"
    /// The engine's and the runtimes process's sockets lie here; nobody but root and the gateway enters.
    package var privateDirectory = "/run/squalld"
    /// The journal and its lock.
    package var stateDirectory = "/var/lib/squall"
    /// Where the agent's other programs are: beside this one.
    package var programDirectory: String
    /// User and group of the gateway. The runtimes process is the next user, in root's group.
    package var gatewayUser: UInt32 = 65532
    package var runtimeSockets: [String] = []
    /// Where Docker's API may be spoken, among the usual places too.
    package var dockerSockets: [String] = []
    /// Where the gateway serves the API by TLS; nil: nowhere.
    package var tlsAddress: InternetAddress?
    /// Where it serves the probes; nil: on the API's socket only.
    package var probeAddress: InternetAddress?
    package var logFormat = LogFormat.text
    /// What the engine is told besides its role.
    package var engineArguments: [String] = []
    /// What the engine may do, as a mask of capabilities.
    package var engineCapabilities: UInt64

    package init(programDirectory: String, engineCapabilities: UInt64) {
        self.programDirectory = programDirectory
        self.engineCapabilities = engineCapabilities
    }

    package var apiSocket: String { "\(runDirectory)/squall.sock" }
    package var engineSocket: String { "\(privateDirectory)/engine.sock" }
    package var runtimesSocket: String { "\(privateDirectory)/runtimes.sock" }
}
