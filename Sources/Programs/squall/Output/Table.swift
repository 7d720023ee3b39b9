/// Rows of text in aligned columns, two blanks between, the last column as long as it likes.
struct Table {
    struct Cell: ExpressibleByStringInterpolation {
        let text: String
        let style: Style?

        init(_ text: String, _ style: Style? = nil) {
            self.text = Output.printable(text)
            self.style = style
        }

        init(stringLiteral text: String) { self.init(text) }
    }

    private let header: [Cell]?
    private var rows: [[Cell]] = []

    init(_ columns: String...) { self.init(columns) }

    init(_ columns: [String]) {
        header = columns.map { Cell($0, .bold) }
    }

    /// Names and values, without a header.
    init() {
        header = nil
    }

    var isEmpty: Bool { rows.isEmpty }

    mutating func add(_ cells: Cell...) { add(cells) }

    mutating func add(_ cells: [Cell]) {
        rows.append(cells)
    }

    /// - Parameter indentation: Blanks before every line.
    func lines(for output: Output, indentation: Int = 0) -> [String] {
        let all = (header.map { [$0] } ?? []) + rows
        let count = all.map(\.count).max() ?? 0
        let widths = (0..<count).map { column in
            all.lazy.filter { $0.count > column }.map { $0[column].text.count }.max() ?? 0
        }
        return all.map { row in
            var line = String(repeating: " ", count: indentation)
            let last = row.lastIndex { !$0.text.isEmpty } ?? 0
            for (column, cell) in row.prefix(last + 1).enumerated() {
                line += output.styled(cell.text, cell.style)
                if column < last {
                    line += String(repeating: " ", count: widths[column] - cell.text.count + 2)
                }
            }
            return line
        }
    }
}
