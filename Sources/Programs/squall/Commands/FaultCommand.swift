import ArgumentParser

struct FaultCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fault",
        abstract: "Lists the faults, and explains one.",
        subcommands: [FaultListCommand.self, FaultShowCommand.self])
}
