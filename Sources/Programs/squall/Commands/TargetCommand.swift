import ArgumentParser

struct TargetCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "target",
        abstract: "Shows what a target is on this node, before or while something is done to it.",
        discussion: """
            Examples:
              squall target show --container $ID
              squall target show --pid 4711 --output json
            """,
        subcommands: [TargetShowCommand.self])
}
