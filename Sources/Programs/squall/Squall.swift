import ArgumentParser
import Glibc

@main
struct Squall: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "squall",
        abstract: "Injects bounded, signed, self-reverting faults into containers and services of this node.",
        discussion: """
            Experiment pods sign their requests with a tenant's key and speak to the gateway; root on the node \
            speaks to the engine. Every session ends by its deadline, and the node is then as it was found.

            Examples:
              squall keygen --tenant shop
              squall inject network-latency latency=100ms --container $ID --key shop.key.jwk --wait
              squall doctor
            """,
        version: VersionCommand.text,
        subcommands: [
            InjectCommand.self, ExperimentCommand.self, LitmusCommand.self, HubCommand.self, SessionCommand.self,
            TargetCommand.self,
            FaultCommand.self, DoctorCommand.self,
            HaltCommand.self, ResumeCommand.self, RecoverCommand.self, JournalCommand.self, AuditCommand.self,
            PolicyCommand.self,
            KeygenCommand.self,
            TokenCommand.self,
            CompletionCommand.self, ExitCodesCommand.self, VersionCommand.self,
        ])

    /// Nothing here is asynchronous: a main thread in the hands of the concurrency runtime would take SIGINT
    /// and SIGTERM, whatever it blocks.
    static func main() {
        Interruption.takeOver()
        // Whoever reads what this says may go away: that ends no experiment.
        signal(SIGPIPE, SIG_IGN)
        do {
            var command = try parseAsRoot(arguments(of: CommandLine.arguments))
            try command.run()
        } catch {
            exit(reporting: error)
        }
    }

    /// Called as the programs are that ChaosExperiments of LitmusChaos name, `/bin/bash -c "./experiments -name NAME"`, this is
    /// `squall litmus -name NAME`, so that such an experiment needs another image and nothing else. It is no shell.
    private static func arguments(of words: [String]) -> [String] {
        func program(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? "" }
        guard let first = words.first else { return [] }
        if program(first) == "experiments" { return ["litmus"] + words.dropFirst() }
        if ["bash", "sh"].contains(program(first)), words.count == 3, words[1] == "-c" {
            let inner = words[2].split(separator: " ").map(String.init)
            if let called = inner.first, program(called) == "experiments" { return ["litmus"] + inner.dropFirst() }
        }
        return Array(words.dropFirst())
    }

    /// Help and version are results; everything else that the argument parser throws is the caller's mistake.
    private static func exit(reporting error: any Error) -> Never {
        if let code = error as? ExitCode { Self.exit(withError: code) }
        if exitCode(for: error) == .success { Self.exit(withError: error) }
        let words = CommandLine.arguments.dropFirst()
        if let unknown = UnknownCommand(in: words) {
            output(asked: words).failure(unknown.failure)
        } else if output(asked: words).format == .json {
            output(asked: words).failure(Failure(.invalid, message(for: error), hint: "see squall help"))
        } else {
            let message = fullMessage(for: error)
            let label = "Error: "
            let reason = message.hasPrefix(label) ? String(message.dropFirst(label.count)) : message
            Output.complain(["squall: error: " + reason])
        }
        Self.exit(withError: ExitCode(ExitStatus.invalid.rawValue))
    }

    /// Of a command line that was not understood, as far as it can be told.
    private static func output(asked words: some Collection<String>) -> Output {
        let isJSON =
            words.contains("--output=json") || zip(words, words.dropFirst()).contains { $0 == ("--output", "json") }
        return Output(format: isJSON ? .json : .table, colors: .auto)
    }
}

/// A command of ours: it returns an exit code or fails with a problem, told in the format that was asked for.
protocol ReportingCommand: ParsableCommand {
    var outputOptions: OutputOptions { get }
    func perform(_ output: Output) throws(Failure) -> ExitStatus
}

extension ReportingCommand {
    mutating func run() throws {
        let output = outputOptions.opened
        let status: ExitStatus
        do throws(Failure) {
            status = try perform(output)
        } catch {
            output.failure(error)
            throw ExitCode(error.status.rawValue)
        }
        if status != .success { throw ExitCode(status.rawValue) }
    }
}
