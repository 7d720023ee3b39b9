import ArgumentParser
import ChaosModel

struct ExperimentReportCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Writes the report of an experiment that was run, from its result.",
        discussion: """
            Examples:
              squall experiment report result.json --format html > report.html
              squall experiment report result.json --format md
            """)

    @Argument(help: "What --report FILE.json wrote.", completion: .file(extensions: ["json"]))
    var file: String

    @Option(help: "How: a page for browsers, Markdown, JUnit's XML, or the result itself.")
    var format = ReportFormat.html

    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let bytes = try ExperimentOptions.bytes(of: file)
        let document: JSON
        do throws(JSONError) {
            document = try JSON(parsing: bytes, maximumDepth: 32)
        } catch {
            throw Failure(.invalid, "\(file) is no JSON: \(error)")
        }
        try output.write(try format.text(of: document))
        return .success
    }
}

extension ReportFormat: ExpressibleByArgument {}
