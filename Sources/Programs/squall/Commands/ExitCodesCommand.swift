import ArgumentParser
import ChaosModel

struct ExitCodesCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "exit-codes",
        abstract: "Lists what each exit code means.",
        discussion: list + """


            Examples:
              squall exit-codes
              squall exit-codes --output json
            """)

    private static let list = ExitStatus.allCases.map { status in
        let code = String(status.rawValue)
        return String(repeating: " ", count: 3 - code.count) + code + "  " + status.meaning
    }.joined(separator: "\n")

    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        switch output.format {
        case .table:
            var table = Table("CODE", "MEANING")
            for status in ExitStatus.allCases { table.add("\(status.rawValue)", Table.Cell(status.meaning)) }
            try output.lines(table.lines(for: output))
        case .json:
            for status in ExitStatus.allCases {
                try output.document(["code": .integer(Int64(status.rawValue)), "meaning": .string(status.meaning)])
            }
        }
        return .success
    }
}
