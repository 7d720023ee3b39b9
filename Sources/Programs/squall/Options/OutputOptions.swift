import ArgumentParser

extension Output.Format: ExpressibleByArgument {}
extension Output.Colors: ExpressibleByArgument {}

struct OutputOptions: ParsableArguments {
    @Option(help: "Print a table for people, or the API's JSON documents, one on each line.")
    var output = Output.Format.table

    @Option(name: .customLong("color"), help: "Use colours. NO_COLOR in the environment says never to auto.")
    var colors = Output.Colors.auto

    var opened: Output { Output(format: output, colors: colors) }
}
