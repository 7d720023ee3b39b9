import ArgumentParser

struct SessionCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "session",
        abstract: "Lists, shows, watches and reverts sessions.",
        discussion: """
            Root on the node is the operator and sees the sessions of all tenants. With --key, a tenant sees its own.

            Examples:
              squall session list
              squall session revert s-0123456789abcdef --key shop.key.jwk
            """,
        subcommands: [
            SessionListCommand.self, SessionShowCommand.self, SessionWatchCommand.self, SessionRevertCommand.self,
        ])
}
