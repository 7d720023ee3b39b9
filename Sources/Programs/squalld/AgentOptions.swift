import Engine
import Glibc
import Hardening
import Keeper
import LinuxSystem

/// The command line of `squalld`, read by hand: the agent's privileged programs carry no library that they can do
/// without, and the argument parser brings Foundation into both.
struct AgentOptions {
    enum Role {
        case keeper
        case engine
    }

    struct UsageError: Error {
        let message: String
        let exitCode: Int32
    }

    private(set) var role = Role.keeper
    private(set) var nodeName = hostName()
    private(set) var stateDirectory = "/var/lib/squall"
    private(set) var runDirectory = "/run/squall"
    private(set) var privateDirectory = "/run/squalld"
    private(set) var tenantsDirectory = "/etc/squall/tenants"
    private(set) var gatewayUser: UInt32 = 65532
    private(set) var runtimeSockets: [String] = []
    private(set) var isRecoveryOnly = false

    private static let longOptions = [
        "node-name", "state-directory", "run-directory", "private-directory", "tenants-directory", "gateway-user",
        "runtime-socket",
    ]
    private static let flags = ["recover-only", "help", "version"]

    init(_ arguments: [String]) throws(UsageError) {
        var rest = arguments
        if rest.first == "engine" {
            role = .engine
            rest.removeFirst()
        }
        try Self.parse(rest) { (name, value) throws(UsageError) in try take(name, value) }
    }

    private mutating func take(_ name: String, _ value: String) throws(UsageError) {
        switch name {
        case "node-name": nodeName = value
        case "state-directory": stateDirectory = value
        case "run-directory": runDirectory = value
        case "private-directory": privateDirectory = value
        case "tenants-directory": tenantsDirectory = value
        case "runtime-socket": runtimeSockets.append(value)
        case "gateway-user":
            guard let user = UInt32(value), user > 0 else {
                throw UsageError(message: "--gateway-user is a user number above 0, not \(value)", exitCode: 64)
            }
            gatewayUser = user
        case "recover-only": isRecoveryOnly = true
        case "help": throw UsageError(message: Self.help, exitCode: 0)
        case "version": throw UsageError(message: "squalld \(agentVersion)", exitCode: 0)
        default: preconditionFailure("option \(name) is declared and not taken")
        }
    }

    /// `--name value` or `--name=value`; a flag has no value.
    private static func parse(
        _ arguments: [String], _ take: (String, String) throws(UsageError) -> Void
    ) throws(UsageError) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard argument.hasPrefix("--"), let name = parts.first.map({ String($0.dropFirst(2)) }) else {
                throw UsageError(message: "unexpected argument \(argument); see squalld --help", exitCode: 64)
            }
            if flags.contains(name), parts.count == 1 {
                try take(name, "")
            } else if longOptions.contains(name), let value = parts.count == 2 ? String(parts[1]) : rest.popFirst() {
                try take(name, value)
            } else {
                throw UsageError(
                    message: longOptions.contains(name)
                        ? "--\(name) wants a value; see squalld --help" : "unknown option \(argument); see squalld --help",
                    exitCode: 64)
            }
        }
    }

    private static let help = """
        squalld: the Squall agent of this node. Started without a role it is the keeper, which starts the rest.

        usage: squalld [options]

          --node-name NAME           what requests must name as their audience (default: the host's name)
          --tenants-directory DIR    the tenants' public keys, NAME.jwks.json (default: /etc/squall/tenants)
          --runtime-socket PATH      a container runtime's CRI socket; may be repeated (default: the usual places)
          --state-directory DIR      the journal (default: /var/lib/squall)
          --run-directory DIR        the API's socket squall.sock (default: /run/squall)
          --private-directory DIR    the engine's own socket engine.sock (default: /run/squalld)
          --gateway-user NUMBER      the gateway's user and group (default: 65532)
          --help, --version
        """

    private static func hostName() -> String {
        var name = [CChar](repeating: 0, count: 256)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

// MARK: - What each program is told

extension AgentOptions {
    /// What an engine may do. Each is there for a reason; daemonset/capabilities lists the same.
    static let engineCapabilities: CapabilitySet = [
        .sysAdmin,  // enter network namespaces; start a worker in another cgroup
        .sysPtrace,  // open /proc/PID/ns of processes of other users
        .netAdmin,  // change queueing disciplines
        .kill,  // end workers, which run as nobody
        .dacOverride,  // write to cgroup files and directories whoever owns them
        .setUID, .setGID, .setPCap,  // make a worker nobody, without capabilities
        .sysResource,  // choose whom the out-of-memory killer takes
    ]

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
        configuration.engineArguments = [
            "--node-name", nodeName, "--state-directory", stateDirectory, "--private-directory", privateDirectory,
            "--tenants-directory", tenantsDirectory, "--gateway-user", "\(gatewayUser)",
        ]
        return configuration
    }

    var engine: EngineConfiguration {
        var configuration = EngineConfiguration(
            nodeName: nodeName, workerProgram: "\(programDirectory)/squall-worker")
        configuration.stateDirectory = stateDirectory
        configuration.tenantsDirectory = tenantsDirectory
        configuration.runtimesSocket = "\(privateDirectory)/runtimes.sock"
        configuration.gatewayUser = gatewayUser
        configuration.isRecoveryOnly = isRecoveryOnly
        return configuration
    }
}
