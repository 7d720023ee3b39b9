import ArgumentParser

@main
struct Squall: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "squall",
        abstract: "Injects bounded, signed, self-reverting faults into containers of this node.",
        discussion: """
            Experiment pods sign their requests with a tenant's key and speak to the gateway; root on the node \
            speaks to the engine. Every session ends by its deadline, and the node is then as it was found.

            Shell completion: squall --generate-completion-script bash|zsh|fish
            """,
        version: "squall 0.1.0",
        subcommands: [
            InjectCommand.self, SessionCommand.self, FaultCommand.self, DoctorCommand.self, KeygenCommand.self,
            TokenCommand.self, ExitCodesCommand.self,
        ])

    /// On the main actor, so that it begins on the first thread while that is the only one.
    @MainActor static func main() async {
        Interruption.takeOver()
        do {
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
        } catch {
            exit(reporting: error)
        }
    }

    /// Help and version are results; everything else that the argument parser throws is the caller's mistake.
    private static func exit(reporting error: any Error) -> Never {
        if let code = error as? ExitCode { Self.exit(withError: code) }
        if exitCode(for: error) == .success { Self.exit(withError: error) }
        let message = fullMessage(for: error)
        let label = "Error: "
        Output.complain(["squall: error: " + (message.hasPrefix(label) ? String(message.dropFirst(label.count)) : message)])
        Self.exit(withError: ExitCode(ExitStatus.invalid.rawValue))
    }
}

/// A command of ours: it returns an exit code or fails with a problem, told in the format that was asked for.
protocol ReportingCommand: AsyncParsableCommand {
    var outputOptions: OutputOptions { get }
    func perform(_ output: Output) async throws(Failure) -> ExitStatus
}

extension ReportingCommand {
    mutating func run() async throws {
        let output = outputOptions.opened
        let status: ExitStatus
        do throws(Failure) {
            status = try await perform(output)
        } catch {
            output.failure(error)
            throw ExitCode(error.status.rawValue)
        }
        if status != .success { throw ExitCode(status.rawValue) }
    }
}
