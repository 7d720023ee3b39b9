import ArgumentParser

struct AuditCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "audit",
        abstract: "Reads the agent's audit log: who wanted what of which target, what was allowed, and how it ended.",
        discussion: """
            Examples:
              squall audit show
              squall audit show --event denied
              squall audit verify
            """,
        subcommands: [AuditShowCommand.self, AuditVerifyCommand.self])
}
