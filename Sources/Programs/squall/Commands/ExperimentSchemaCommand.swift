import ArgumentParser
import ExperimentModel

struct ExperimentSchemaCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "schema",
        abstract: "Prints the JSON Schema of experiments, for editors.",
        discussion: """
            Examples:
              squall experiment schema > experiment.schema.json
            """)

    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        try output.document(Experiment.schema)
        return .success
    }
}
