import ArgumentParser

struct FaultCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fault",
        abstract: "Lists the faults, and explains one.",
        subcommands: [FaultListCommand.self, FaultShowCommand.self])
}
