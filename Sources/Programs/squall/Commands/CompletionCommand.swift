import ArgumentParser

/// A shell that completion scripts are made for.
enum Shell: String, CaseIterable, ExpressibleByArgument {
    case bash, zsh, fish

    fileprivate var generator: CompletionShell {
        switch self {
        case .bash: .bash
        case .zsh: .zsh
        case .fish: .fish
        }
    }
}

struct CompletionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completion",
        abstract: "Prints the script by which a shell completes commands, faults and sessions.",
        discussion: """
            Examples:
              squall completion bash > /etc/bash_completion.d/squall
              squall completion zsh > "${fpath[1]}/_squall"
              squall completion fish > ~/.config/fish/completions/squall.fish
            """)

    @Argument(help: "The shell.")
    var shell: Shell

    func run() throws {
        let output = Output(format: .table, colors: .never)
        do throws(Failure) {
            try output.line(Squall.completionScript(for: shell.generator))
        } catch {
            output.failure(error)
            throw ExitCode(error.status.rawValue)
        }
    }
}
