import ArgumentParser
import ChaosModel
import ExperimentModel

struct ExperimentValidateCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "validate",
        abstract: "Reads an experiment, and says what is wrong with it or what it does.",
        discussion: """
            No agent is asked: 'squall experiment plan' does that.

            Examples:
              squall experiment validate experiment.yaml
              squall experiment validate experiment.yaml --output json
            """)

    @OptionGroup var options: ExperimentOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let experiment = try options.experiment
        // Of inputs only what was given is looked at: what is missing may come when it is run.
        if !options.settings.isEmpty { _ = try options.inputs(of: experiment) }
        let inputs = experiment.inputs.map(\.name)
        switch output.format {
        case .json:
            try output.document([
                "name": .string(experiment.name), "inputs": .array(inputs.map(JSON.string)),
                "steps": .array(
                    experiment.allSteps.map { ["name": .string($0.name), "kind": .string($0.kind)] }),
                "probes": .array(
                    experiment.probes.map {
                        ["name": .string($0.name), "kind": .string($0.kindWord), "mode": .string($0.mode.rawValue)]
                    }),
            ])
        case .table:
            let steps = experiment.allSteps.count
            try output.line(
                "\(experiment.name): \(steps) step\(steps == 1 ? "" : "s"), \(experiment.probes.count) probes")
            if !inputs.isEmpty { try output.line("inputs: \(inputs.joined(separator: ", "))") }
        }
        return .success
    }
}
