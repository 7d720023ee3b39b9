import ArgumentParser
import Glibc
import LinuxSystem

struct RecoverCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "recover",
        abstract: "Takes back, from its journal, whatever an agent has left that does not run any more.",
        discussion: """
            For operators: root on the node, with no agent running; one that starts does the same by itself, and \
            'squall halt' tells one that runs. It needs no container runtime and no network. The exit code is 75 when \
            something could not be undone now, or an agent runs.

            Examples:
              squall recover --offline
              squall recover --offline --state-directory /mnt/node/var/lib/squall
            """)

    @Flag(help: "Required: it is said that no agent runs.")
    var offline = false

    @OptionGroup var journal: JournalOptions

    func validate() throws {
        guard offline else {
            throw ValidationError("an agent that runs takes everything back itself: 'squall halt', or --offline")
        }
    }

    /// The agent's own program does it, in the place of this one: there is one way in which things are undone.
    func run() throws {
        let own = (try? TextFile.destination(ofLink: "/proc/self/exe")) ?? "/squall"
        let directory = own.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        // Beside this one, as in the image, or where the package for hosts has it.
        let places = ["\(directory)/squalld", "\(directory)/../lib/squall/squalld"]
        let program: String = places.first(where: { access($0, X_OK) == 0 }) ?? places[0]
        let words = [program, "recover", "--state-directory", journal.stateDirectory]
        var arguments = words.map { strdup($0) } + [nil]
        execv(program, &arguments)
        Output.complain(["squall: error: cannot run \(program): \(Errno.current)"])
        throw ExitCode(ExitStatus.unreachable.rawValue)
    }
}
