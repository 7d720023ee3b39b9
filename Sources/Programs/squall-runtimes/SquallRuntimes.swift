import CRI
import ContainerRuntimes
import Glibc
import Hardening
import LinuxSystem

@main
enum SquallRuntimes {
    private static let help = """
        squall-runtimes: asks the node's container runtimes what the engine wants to know.
        Started by squalld, which binds and keeps its socket. It ends with status 77 when a socket of Docker's lets only root in,
        and is then started as root, if there is one.

          --socket-fd NUMBER       the inherited listening socket (default: 3)
          --runtime-socket PATH    a container runtime's CRI socket, or docker:PATH for Docker's API; may be repeated
                                   (default: where they usually listen)
          --nothing-hidden         no socket of Docker's is in a folder that this user does not enter: squalld has looked
          --log-format FORMAT      text or json (default: text)
          --help
        """

    static func main() {
        AgentLog.begin(as: "squall-runtimes", in: .text)
        do throws(UsageError) {
            let given = try ProgramArguments(
                CommandLine.arguments.dropFirst(), options: ["socket-fd", "runtime-socket", "log-format"],
                flags: ["help", "nothing-hidden"])
            AgentLog.begin(as: "squall-runtimes", in: try given.choice("log-format") ?? .text)
            if given.has("help") { return StandardStream.output.writeLine(help) }
            run(
                listeningSocket: try given.number("socket-fd") ?? 3,
                places: RuntimePlace.all(named: given.all("runtime-socket")),
                hidden: given.has("nothing-hidden") ? .none : .possible)
        } catch {
            log("\(error.message); see squall-runtimes --help")
            exit(error.status)
        }
    }

    private static func run(listeningSocket: Int32, places: [RuntimePlace], hidden: HiddenSockets) {
        setProgramName("squall-runtimes")
        // There is nothing to finish: the engine asks again.
        signal(SIGTERM) { _ in _exit(0) }
        do {
            try CapabilitySet().keepOnlyThese()
        } catch {
            log("cannot give up capabilities: \(error)")
            exit(71)
        }
        if RuntimeDirectory.isShutOut(of: places, hidden: hidden) { endAsShutOut() }
        QuestionServer.run(
            listeningSocket: listeningSocket, places: places, hidden: hidden, log: Self.log,
            whenShutOut: endAsShutOut
        ) { outcome in
            do {
                try outcome.get()
                try SystemCallFilter.runtimes.load()
                letGoOfProgramPages()
            } catch {
                Self.log("cannot serve: \(error)")
                _exit(1)
            }
        }
    }

    /// Whom not even root's rights let in is told so.
    @Sendable private static func endAsShutOut() {
        // EX_NOPERM of sysexits.h.
        if geteuid() != 0 { _exit(77) }
    }

    private static func log(_ line: String) {
        AgentLog.write(line, .warning)
    }
}
