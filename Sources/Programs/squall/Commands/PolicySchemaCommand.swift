import ArgumentParser
import Authorization
import Faults

struct PolicySchemaCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Prints the policy's JSON Schema, for editors.",
        discussion: """
            Examples:
              squall policy schema > policy.schema.json
            """)

    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        try output.document(Policy.schema(faults: FaultCatalogue.parameters))
        return .success
    }
}
