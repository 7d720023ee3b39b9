import ArgumentParser
import CRI
import Glibc
import Hardening
import LinuxSystem

@main
struct SquallRuntimes: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "squall-runtimes",
        abstract: "Asks the node's container runtimes what the engine wants to know.",
        discussion: "Started by squalld, which binds and keeps the socket.")

    @Option(help: "The number of the inherited listening socket for the engine's questions.")
    var socketFd: Int32 = 3

    @Option(help: "The path of a container runtime's socket; may be repeated. Default: where runtimes usually listen.")
    var runtimeSocket: [String] = []

    func run() throws {
        setProgramName("squall-runtimes")
        // There is nothing to finish: the engine asks again.
        signal(SIGTERM) { _ in _exit(0) }
        try CapabilitySet().keepOnlyThese()
        QuestionServer.run(
            listeningSocket: socketFd,
            runtimeSockets: runtimeSocket.isEmpty ? RuntimeDirectory.usualSockets : runtimeSocket,
            log: Self.log
        ) { outcome in
            do {
                try outcome.get()
                try SystemCallFilter.runtimes.load()
            } catch {
                Self.log("cannot serve: \(error)")
                _exit(1)
            }
        }
    }

    /// One line for people. There is nobody left to tell if it cannot be written.
    private static func log(_ line: String) {
        let bytes = Array("squall-runtimes: \(line)\n".utf8)
        _ = bytes.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
