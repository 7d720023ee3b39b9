import ArgumentParser
import Gateway
import Glibc
import Hardening
import LinuxSystem

@main
struct SquallGateway: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "squall-gateway",
        abstract: "Serves the agent's HTTP API on inherited sockets and passes requests to the engine.",
        discussion: "Started by squalld, which binds and keeps the sockets.")

    @Option(help: "The number of the inherited listening socket for the API.")
    var apiFd: Int32

    @Option(help: "The number of an inherited listening socket that serves only /livez and /readyz.")
    var probeFd: Int32?

    @Option(help: "The path of the engine's socket.")
    var engineSocket: String

    func run() throws {
        let capabilities = try CapabilitySet.permitted()
        guard capabilities.isEmpty else { throw Overprivileged(capabilities: capabilities) }

        // Before the first thread starts: all inherit the mask, and only sigsuspend(2) below lets the signal in.
        var blocked = sigset_t()
        var others = sigset_t()
        sigemptyset(&blocked)
        sigaddset(&blocked, SIGTERM)
        pthread_sigmask(SIG_BLOCK, &blocked, &others)
        signal(SIGTERM) { _ in }

        let server = try GatewayServer(
            api: OwnedDescriptor(adopting: apiFd), probes: probeFd.map { OwnedDescriptor(adopting: $0) },
            engineSocket: engineSocket)
        try SystemCallFilter.gateway.load()
        printToStandardError("serving; the engine is at \(engineSocket)")

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
