import ArgumentParser
import ChaosModel
import ExperimentModel
import ExperimentReports
import ExperimentRunner
import Glibc
import LinuxSystem

struct ExperimentRunCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Carries an experiment out, and says what it came to.",
        discussion: """
            SIGINT or SIGTERM ends it: every fault is taken back at once. When this program is killed, its faults go \
            when their leases lapse, 15 seconds later if not said. The exit code is 0 for a passed experiment, 1 for \
            one that failed, 7 for one that could not be carried out as it is written.

            Examples:
              squall experiment run experiment.yaml --key shop.key.jwk --report report.html
              squall experiment run experiment.yaml --key shop.key.jwk --inventory fleet.yaml \\
                --set limit=10 --min-score 80 --report junit.xml
            """)

    @OptionGroup var options: ExperimentOptions

    @Option(
        help: ArgumentHelp(
            "Write a report, as its name says: .html, .md, .xml (JUnit), .json or .prom (metrics). May be given several times.",
            valueName: "file"))
    var report: [String] = []

    @Option(
        help: ArgumentHelp(
            "Write what a workflow engine takes as output parameters: the files verdict, score and steps.NAME.",
            valueName: "folder"))
    var outputs: String?

    @Option(help: ArgumentHelp("Pass when the resilience score is this or more, from 0 to 100.", valueName: "number"))
    var minScore: Double?

    @Option(help: ArgumentHelp("Choose targets as the run did that told this number.", valueName: "number"))
    var seed: Int64?

    @OptionGroup(title: "Agents, signing and connection") var fleet: FleetOptions
    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        if let minScore, !(0...100).contains(minScore) {
            throw Failure(.invalid, "a score is 0 to 100", field: "--min-score")
        }
        let formats = try report.map { (file) throws(Failure) in try ReportFormat(file: file) }
        let experiment = try options.experiment
        let inputs = try options.inputs(of: experiment)
        let (fleet, cluster) = (try fleet.fleet, fleet.cluster)
        // Where no report can be written, that is known before anything is done.
        for file in report {
            try ReportFormat.checking(file) { path throws(SystemCallError) in try Output.checkReplacing(path) }
        }
        if let outputs {
            try ReportFormat.checking("\(outputs)/verdict") { path throws(SystemCallError) in
                try ensureDirectory(outputs, mode: 0o755)
                try Output.checkReplacing(path)
            }
            // What is there is of an earlier run, or a link to somewhere else.
            for name in ["verdict", "score"] + experiment.allSteps.map({ "steps.\($0.name)" }) {
                unlink("\(outputs)/\(name)")
            }
        }
        Self.raiseFileLimit()
        let stop = StopSignal()
        Interruption.tell { stop.stop(.interrupted) }
        let isForPeople = output.format == .table
        let run = ExperimentRun(
            experiment, on: fleet, in: cluster, id: Self.identifier(),
            seed: seed ?? experiment.seed ?? Int64.random(in: 0...999_999_999), inputs: inputs, stop: stop
        ) { offset, subject, words in
            guard isForPeople else { return }
            // Nobody there to read is no reason to leave faults where they are.
            try? output.line(Output.printable("\(ExperimentText.offset(offset))  \(subject): \(words)"))
        }
        run.run()
        let document = run.recorder.document
        let result = RunResult(document)
        var unwritten: Failure?
        func attempt(_ write: () throws(Failure) -> Void) {
            do throws(Failure) {
                try write()
            } catch {
                output.note(error.message)
                unwritten = error
            }
        }
        for (file, format) in zip(report, formats) {
            attempt { () throws(Failure) in try ReportFormat.write(try format.text(of: document), to: file) }
        }
        if let outputs, let result {
            for (name, text) in result.outputs {
                attempt { () throws(Failure) in try ReportFormat.write(text, to: "\(outputs)/\(name)") }
            }
        }
        switch output.format {
        case .json: try output.document(document)
        case .table:
            if let result { try output.line("\n" + Output.printable(result.headline)) }
            for file in report { try output.line("report: \(file)") }
        }
        let status = status(of: run, stop)
        if status == .success, let unwritten { throw unwritten }
        return status
    }

    /// Each target takes a connection or two.
    static func raiseFileLimit() {
        // As many as there are have to do.
        try? raiseDescriptorLimit(to: nil)
    }

    private func status(of run: ExperimentRun, _ stop: StopSignal) -> ExitStatus {
        switch run.recorder.verdict {
        case .pass: return isEnough(run) ? .success : .notAsAsked
        // The score of an experiment that was not gone through says nothing.
        case .fail: return minScore != nil && run.recorder.isComplete && isEnough(run) ? .success : .notAsAsked
        case .error: return .notCarriedOut
        case .stopped, .awaited: return stop.reason == .interrupted ? .interrupted : .notAsAsked
        }
    }

    private func isEnough(_ run: ExperimentRun) -> Bool { minScore.map { (run.recorder.score ?? 100) >= $0 } ?? true }

    private static func identifier() -> String {
        "e-" + (0..<12).map { _ in String("0123456789abcdef".randomElement() ?? "0") }.joined()
    }
}

enum ExperimentText {
    /// Seconds since the experiment began, in a column.
    static func offset(_ seconds: Double) -> String {
        let tenths = Int((seconds * 10).rounded())
        let text = "\(tenths / 10).\(tenths % 10)s"
        return String(repeating: " ", count: max(0, 8 - text.count)) + text
    }
}

/// How a result is told in a file.
enum ReportFormat: String, CaseIterable {
    case html, md, xml, json, prom

    init(file: String) throws(Failure) {
        let suffix = file.split(separator: "/").last?.split(separator: ".").last.map(String.init) ?? ""
        guard let format = ReportFormat(rawValue: suffix) else {
            throw Failure(
                .invalid, "nobody knows how to write \(file)", field: "--report",
                hint: "a name that ends with .html, .md, .xml, .json or .prom")
        }
        self = format
    }

    func text(of document: JSON) throws(Failure) -> String {
        guard let result = RunResult(document) else {
            throw Failure(
                .invalid, "this is no experiment's result", hint: "'squall experiment run --report' writes one")
        }
        return switch self {
        case .html: result.html
        case .md: result.markdown
        case .xml: result.junit
        case .json: document.prettyText + "\n"
        case .prom: result.metrics
        }
    }

    static func write(_ text: String, to file: String) throws(Failure) {
        try checking(file) { path throws(SystemCallError) in try Output.write(text, replacing: path) }
    }

    static func checking(_ file: String, _ body: (String) throws(SystemCallError) -> Void) throws(Failure) {
        do throws(SystemCallError) {
            try body(file)
        } catch {
            throw Failure(.notAsAsked, "cannot write \(file): \(error.errno)")
        }
    }
}
