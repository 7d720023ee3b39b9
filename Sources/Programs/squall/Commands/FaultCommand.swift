import ArgumentParser

struct FaultCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fault",
        abstract: "Lists the faults, and explains one.",
        discussion: """
            Examples:
              squall fault list
              squall fault show network-latency
            """,
        subcommands: [FaultListCommand.self, FaultShowCommand.self])
}
