import ArgumentParser

struct JournalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "journal",
        abstract: "Reads the agent's journal: what it must take back, and what it did.",
        discussion: """
            Examples:
              squall journal show
              squall journal show --output json
              squall journal verify
            """,
        subcommands: [JournalShowCommand.self, JournalVerifyCommand.self])
}
