import Gateway
import Glibc
import Hardening
import LinuxSystem

@main
enum SquallGateway {
    private static let help = """
        squall-gateway: serves the agent's HTTP API on inherited sockets and passes requests to the engine.
        Started by squalld, which binds and keeps the sockets.

          --api-fd NUMBER         the inherited listening socket for the API (default: 3)
          --tls-fd NUMBER         an inherited listening socket that serves the API by mutual TLS
          --probe-fd NUMBER       an inherited listening socket that serves only /livez, /readyz and /metrics
          --engine-socket PATH    the engine's socket (default: /run/squalld/engine.sock)
          --log-format FORMAT     text or json (default: text)
          --help
        """

    static func main() {
        setProgramName("squall-gateway")
        AgentLog.begin(as: "squall-gateway", in: .text)
        do {
            let given = try ProgramArguments(
                CommandLine.arguments.dropFirst(),
                options: ["api-fd", "tls-fd", "probe-fd", "engine-socket", "log-format"], flags: ["help"])
            AgentLog.begin(as: "squall-gateway", in: try given.choice("log-format") ?? .text)
            if given.has("help") { return StandardStream.output.writeLine(help) }
            try serve(
                api: try given.number("api-fd") ?? 3, tls: try given.number("tls-fd"),
                probes: try given.number("probe-fd"),
                engineSocket: given["engine-socket"] ?? "/run/squalld/engine.sock")
        } catch let error as UsageError {
            AgentLog.write("\(error.message); see squall-gateway --help", .error)
            exit(error.status)
        } catch {
            AgentLog.write("\(error)", .error)
            exit(71)
        }
    }

    private static func serve(api: Int32, tls: Int32?, probes: Int32?, engineSocket: String) throws {
        let capabilities = try CapabilitySet.permitted()
        guard capabilities.isEmpty else { throw Overprivileged(capabilities: capabilities) }

        // Before the first thread starts: all inherit the mask, and only sigsuspend(2) below lets the signal in.
        var blocked = sigset_t()
        var others = sigset_t()
        sigemptyset(&blocked)
        sigaddset(&blocked, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &blocked, &others)
        signal(SIGTERM) { _ in }

        // The key of TLS is in it.
        try keepMemoryPrivate()
        // Each client has a descriptor, and another to the engine. With fewer than that it refuses some sooner.
        do throws(SystemCallError) {
            try raiseDescriptorLimit(to: 4096)
        } catch {
            AgentLog.write("the limit of open files stays as it was: \(error)", .warning)
        }
        let server = try GatewayServer(
            api: OwnedDescriptor(adopting: api), tls: tls.map { OwnedDescriptor(adopting: $0) },
            probes: probes.map { OwnedDescriptor(adopting: $0) },
            engineSocket: engineSocket)
        try SystemCallFilter.gateway.load()
        AgentLog.write("serving; the engine is at \(engineSocket)")
        letGoOfProgramPages()

        sigdelset(&others, SIGTERM)
        sigsuspend(&others)
        try server.drain()
    }
}

/// The gateway reads what strangers send, so it refuses to run with anything worth taking.
private struct Overprivileged: Error, CustomStringConvertible {
    let capabilities: CapabilitySet

    var description: String { "started with capabilities (\(capabilities)); it must have none" }
}
