import AgentAPI
import Audit
import Authorization
import ChaosModel
import ContainerRuntimes
import Engine
import Glibc
import Hardening
import Journal
import Keeper
import LinuxSystem
import Sessions
import Steps

/// The command line of `squalld`.
struct AgentOptions {
    enum Role {
        case keeper
        case engine
        /// Takes back what an agent that does not run has left.
        case recovery
        /// Prints what the engine's capabilities are for.
        case capabilities
    }

    let role: Role
    let nodeName: String
    let stateDirectory: String
    let runDirectory: String
    let privateDirectory: String
    let tenantsDirectory: String
    let policyFile: String
    /// Whether it was told.
    let namesPolicy: Bool
    let ownNamespace: NamePattern?
    let gatewayUser: UInt32
    let runtimeSockets: [String]
    let logFormat: LogFormat
    private let apiServer: IPNetwork?
    private let excluded: [IPNetwork]
    private let sparedPorts: [SparedPort]
    private let tlsAddress: InternetAddress?
    private let probeAddress: InternetAddress?
    private let tlsFiles: TLSFiles.Paths
    let isRecoveryOnly: Bool
    let limits: Scheduler.Limits
    let auditBytes: Int
    let mostDescriptors: Int?
    /// Those among the arguments that are the engine's alone.
    private let limitArguments: [String]

    private static let limitNames = [
        "max-sessions", "max-workers", "max-memory", "max-descriptors", "max-journal", "journal-bytes", "max-audit",
    ]

    init(_ arguments: [String]) throws(UsageError) {
        role =
            ["engine": .engine, "recover": .recovery, "capabilities": .capabilities][arguments.first ?? ""] ?? .keeper
        let given = try ProgramArguments(
            role == .keeper ? arguments[...] : arguments.dropFirst(),
            options: Set([
                "node-name", "state-directory", "run-directory", "private-directory", "tenants-directory", "policy",
                "namespace", "gateway-user", "runtime-socket", "api-server", "exclude", "spare-port",
                "tls-bind-address", "probe-bind-address", "tls-cert-file", "tls-private-key-file", "client-ca-file",
                "log-format",
            ]).union(Self.limitNames),
            flags: ["recover-only", "help", "version"])
        if given.has("help") { throw UsageError(Self.help, status: 0) }
        if given.has("version") { throw UsageError("squalld \(agentVersion)", status: 0) }
        logFormat = try given.choice("log-format") ?? .text
        // Also for what is to be said of the options that follow.
        AgentLog.begin(as: "squalld", in: logFormat)
        nodeName = given["node-name"] ?? Self.hostName()
        stateDirectory = given["state-directory"] ?? Journal.standardDirectory
        runDirectory = given["run-directory"] ?? "/run/squall"
        privateDirectory = given["private-directory"] ?? "/run/squalld"
        tenantsDirectory = given["tenants-directory"] ?? "/etc/squall/tenants"
        policyFile = given["policy"] ?? "/etc/squall/policy.yaml"
        namesPolicy = given["policy"] != nil
        ownNamespace = try (given["namespace"] ?? Self.ownNamespaceOfThisPod).map { (name) throws(UsageError) in
            guard let pattern = NamePattern(name), !name.contains("*") else {
                throw UsageError("--namespace is no namespace: \(name)")
            }
            return pattern
        }
        runtimeSockets = given.all("runtime-socket")
        apiServer =
            try given["api-server"].map { (text) throws(UsageError) in
                try Self.network(text, option: "api-server")
            } ?? Self.apiServerOfThisPod()
        var excluded: [IPNetwork] = []
        for text in given.all("exclude") { excluded.append(try Self.network(text, option: "exclude")) }
        self.excluded = excluded
        var sparedPorts: [SparedPort] = []
        for text in given.all("spare-port") { sparedPorts.append(try Self.sparedPort(text)) }
        self.sparedPorts = sparedPorts
        tlsAddress = try Self.address(given, option: "tls-bind-address")
        probeAddress = try Self.address(given, option: "probe-bind-address")
        tlsFiles = TLSFiles.Paths(
            certificate: given["tls-cert-file"] ?? "/etc/squall/tls/tls.crt",
            privateKey: given["tls-private-key-file"] ?? "/etc/squall/tls/tls.key",
            clientAuthorities: given["client-ca-file"] ?? "/etc/squall/tls/ca.crt")
        isRecoveryOnly = given.has("recover-only")
        let user = try given.number("gateway-user") ?? 65532
        guard user > 0 else { throw UsageError("--gateway-user is not root") }
        gatewayUser = UInt32(user)
        var limits = Scheduler.Limits()
        limits.sessions = try given.count("max-sessions") ?? limits.sessions
        limits.workers = try given.count("max-workers") ?? limits.workers
        limits.memory = try given.count("max-memory") ?? limits.memory
        limits.journal = try given.count("max-journal") ?? limits.journal
        limits.compaction = try given.count("journal-bytes") ?? limits.compaction
        self.limits = limits
        auditBytes = try given.count("max-audit") ?? AuditLog.standardBytes
        mostDescriptors = try given.count("max-descriptors", in: Scheduler.Limits.fewestDescriptors...Int(Int32.max))
        limitArguments = Self.limitNames.flatMap { name in given[name].map { ["--\(name)", $0] } ?? [] }
    }

    private static let standard = Scheduler.Limits()

    private static let help = """
        squalld: the Squall agent of this node. Started without a role it is the keeper, which starts the rest.

        usage: squalld [options]
               squalld recover [--state-directory DIR]     take back what an agent has left that does not run any more
               squalld capabilities [--policy FILE]        print the capabilities that it needs, and what for, as JSON

          --node-name NAME           what requests must name as their audience (default: the host's name)
          --tenants-directory DIR    the tenants' public keys, NAME.jwks.json (default: /etc/squall/tenants)
          --policy FILE              which tenant may do what (default: /etc/squall/policy.yaml)
          --namespace NAME           the agent's own namespace, which no fault hits (default: $POD_NAMESPACE)
          --runtime-socket PATH      a container runtime's CRI socket, or docker:PATH for Docker's API; may be repeated
                                     (default: the usual places of both)
          --api-server ADDRESS       Kubernetes' API server, which no fault on the network hits
                                     (default: $KUBERNETES_SERVICE_HOST)
          --exclude NETWORK          another address or network that none hits; may be repeated
          --spare-port PORT[/udp]    another port, beside 22 and the agent's own, that none hits whose target is the
                                     whole host; of TCP unless told; may be repeated
          --tls-bind-address ADDRESS:PORT    serve the API by mutual TLS 1.3 (default: not at all)
          --tls-cert-file FILE       the server's certificate and those above it (default: /etc/squall/tls/tls.crt)
          --tls-private-key-file FILE        (default: /etc/squall/tls/tls.key)
          --client-ca-file FILE      authorities of clients' certificates (default: /etc/squall/tls/ca.crt)
          --probe-bind-address ADDRESS:PORT  serve /livez, /readyz and /metrics by HTTP (default: not at all)
          --state-directory DIR      the journal (default: \(Journal.standardDirectory))
          --journal-bytes NUMBER     when the journal is compacted, at the least (default: \(standard.compaction))
          --max-sessions NUMBER      sessions at once; beyond this and each bound below a new one is refused (default: \(standard.sessions))
          --max-workers NUMBER       workers at once, each a process (default: \(standard.workers))
          --max-memory BYTES         memory of the engine (default: \(standard.memory))
          --max-descriptors NUMBER   open files of the engine (default: as many as the container allows)
          --max-journal BYTES        the journal's length (default: \(standard.journal))
          --max-audit BYTES          the audit log's length; the oldest of its files makes room (default: \(AuditLog.standardBytes))
          --run-directory DIR        the API's socket squall.sock (default: /run/squall)
          --private-directory DIR    the engine's own socket engine.sock (default: /run/squalld)
          --gateway-user NUMBER      the gateway's user and group (default: 65532)
          --log-format FORMAT        text for people, or json: an object on each line (default: text)
          --help, --version
        """

    /// As the DaemonSet tells it.
    private static var ownNamespaceOfThisPod: String? {
        getenv("POD_NAMESPACE").map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }

    /// What Kubernetes tells every pod. Nil where it tells nothing, or a name.
    private static func apiServerOfThisPod() -> IPNetwork? {
        guard let text = getenv("KUBERNETES_SERVICE_HOST").map({ String(cString: $0) }) else { return nil }
        if let address = IPNetwork(text: text), address.isSingleAddress { return address }
        AgentLog.write(
            "$KUBERNETES_SERVICE_HOST is no address: name the API server by --api-server, or faults may hit it",
            .warning)
        return nil
    }

    private static func network(_ text: String, option: String) throws(UsageError) -> IPNetwork {
        guard let network = IPNetwork(text: text), !network.isEverything else {
            throw UsageError("--\(option) is an address or a network, as 10.0.0.1 or 10.1.0.0/16")
        }
        return network
    }

    private static func sparedPort(_ text: String) throws(UsageError) -> SparedPort {
        let words = text.split(separator: "/", omittingEmptySubsequences: false)
        guard let port = words.first.flatMap({ UInt16($0) }), port > 0, words.count <= 2,
            let transport = words.count == 1 ? .tcp : TrafficBox.Transport(rawValue: String(words[1])),
            transport.hasPorts
        else { throw UsageError("--spare-port is a port, as 2222, 2222/tcp or 51820/udp") }
        return SparedPort(port, transport, for: .configured)
    }

    private static func address(_ given: ProgramArguments, option: String) throws(UsageError) -> InternetAddress? {
        guard let text = given[option] else { return nil }
        guard let address = InternetAddress(text: text) else {
            throw UsageError("--\(option) is an address and a port, as 0.0.0.0:9443 or [::]:9443")
        }
        return address
    }

    private static func hostName() -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

// MARK: - What each program is told

extension AgentOptions {
    var programDirectory: String {
        let program = (try? TextFile.destination(ofLink: "/proc/self/exe")) ?? "/squalld"
        let directory = program.split(separator: "/").dropLast().joined(separator: "/")
        return directory.isEmpty ? "" : "/\(directory)"
    }

    func keeper(engineCapabilities: CapabilitySet) -> KeeperConfiguration {
        var configuration = KeeperConfiguration(
            programDirectory: programDirectory, engineCapabilities: engineCapabilities.rawValue)
        configuration.runDirectory = runDirectory
        configuration.privateDirectory = privateDirectory
        configuration.stateDirectory = stateDirectory
        configuration.gatewayUser = gatewayUser
        configuration.runtimeSockets = runtimeSockets
        configuration.dockerSockets = RuntimePlace.all(named: runtimeSockets)
            .filter { $0.language == .docker }.map(\.path)
        configuration.tlsAddress = tlsAddress
        configuration.probeAddress = probeAddress
        configuration.logFormat = logFormat
        var arguments = [
            "--node-name", nodeName, "--state-directory", stateDirectory, "--private-directory", privateDirectory,
            "--tenants-directory", tenantsDirectory, "--policy", policyFile, "--gateway-user", "\(gatewayUser)",
        ]
        arguments += limitArguments
        if let ownNamespace { arguments += ["--namespace", ownNamespace.text] }
        if let apiServer { arguments += ["--api-server", "\(apiServer)"] }
        for endpoint in excluded { arguments += ["--exclude", "\(endpoint)"] }
        for port in sparedPorts { arguments += ["--spare-port", "\(port.number)/\(port.transport.rawValue)"] }
        if let probeAddress { arguments += ["--probe-bind-address", "\(probeAddress)"] }
        configuration.engineArguments = arguments + tlsArguments
        return configuration
    }

    /// The engine reads the files and listens nowhere.
    private var tlsArguments: [String] {
        guard let tlsAddress else { return [] }
        return [
            "--tls-bind-address", "\(tlsAddress)", "--tls-cert-file", tlsFiles.certificate,
            "--tls-private-key-file", tlsFiles.privateKey, "--client-ca-file", tlsFiles.clientAuthorities,
        ]
    }

    var engine: EngineConfiguration {
        var configuration = EngineConfiguration(nodeName: nodeName, programDirectory: programDirectory)
        configuration.stateDirectory = stateDirectory
        configuration.tenantsDirectory = tenantsDirectory
        configuration.policyFile = policyFile
        configuration.ownNamespace = ownNamespace
        configuration.tlsFiles = tlsAddress == nil ? nil : tlsFiles
        configuration.runtimesSocket = "\(privateDirectory)/runtimes.sock"
        configuration.gatewayUser = gatewayUser
        configuration.limits = limits
        configuration.auditBytes = auditBytes
        configuration.excluded =
            (apiServer.map { [ExcludedEndpoint($0, .apiServer)] } ?? [])
            + excluded.map { ExcludedEndpoint($0, .configured) }
        configuration.sparedPorts =
            [.ssh] + [tlsAddress, probeAddress].compactMap(\.self).map { SparedPort($0.port, for: .agent) }
            + sparedPorts
        return configuration
    }
}
