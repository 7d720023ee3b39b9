import ArgumentParser

struct PolicyCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "policy",
        abstract: "Checks a policy, which says what each tenant may do on a node.",
        discussion: """
            Examples:
              squall policy check /etc/squall/policy.yaml
              squall policy schema > policy.schema.json
            """,
        subcommands: [PolicyCheckCommand.self, PolicySchemaCommand.self])
}
