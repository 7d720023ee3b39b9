import ArgumentParser
import ChaosModel
import ExperimentModel
import ExperimentRunner

struct ExperimentPlanCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Says which targets on which nodes an experiment would hit, and hits none.",
        discussion: """
            Every agent is asked what it would do. What depends on a script's output is known only when it has run. The \
            exit code is 1 when a step could not be done as things are.

            Examples:
              squall experiment plan experiment.yaml --key shop.key.jwk
              squall experiment plan experiment.yaml --key shop.key.jwk --inventory fleet.yaml --output json
            """)

    @OptionGroup var options: ExperimentOptions

    @Option(help: ArgumentHelp("Choose targets as a run with this number does.", valueName: "number"))
    var seed: Int64?

    @OptionGroup(title: "Agents, signing and connection") var fleet: FleetOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let experiment = try options.experiment
        let seed = seed ?? experiment.seed ?? Int64.random(in: 0...999_999_999)
        let entries = ExperimentPlan.entries(
            of: experiment, on: try fleet.fleet, in: fleet.cluster, seed: seed,
            inputs: try options.inputs(of: experiment))
        switch output.format {
        case .json:
            try output.document([
                "seed": .integer(seed), "steps": .array(entries.map(\.json)),
            ])
        case .table:
            var table = Table("STEP", "FAULT", "NODE", "TARGET", "")
            for entry in entries {
                for target in entry.targets ?? [] {
                    table.add(
                        Table.Cell(entry.step), Table.Cell(entry.fault), Table.Cell(target.node),
                        Table.Cell(target.name), Table.Cell(""))
                }
                if let problem = entry.problem {
                    table.add(
                        Table.Cell(entry.step), Table.Cell(entry.fault), Table.Cell(""), Table.Cell(""),
                        Table.Cell(problem))
                }
            }
            try output.lines(table.lines(for: output))
            try output.line("To hit the same pods: --seed \(seed)")
        }
        return entries.contains { $0.targets?.isEmpty == true } ? .notAsAsked : .success
    }
}
