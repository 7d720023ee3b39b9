import ArgumentParser

struct ExperimentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "experiment",
        abstract: "Carries out whole experiments: faults, scripts and probes from a file, with a verdict and a report.",
        discussion: """
            Examples:
              squall experiment validate experiment.yaml
              squall experiment plan experiment.yaml --key shop.key.jwk
              squall experiment run experiment.yaml --key shop.key.jwk --report report.html
            """,
        subcommands: [
            ExperimentRunCommand.self, ExperimentPlanCommand.self, ExperimentValidateCommand.self,
            ExperimentReportCommand.self, ExperimentSchemaCommand.self,
        ])
}
