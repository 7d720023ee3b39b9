import ChaosModel
import LinuxSystem

/// Events as lines, and on a terminal one last line that lives: state, time left, last event.
struct Screen {
    private let output: Output
    private var lastEvent = ""
    private var state = ""
    private var deadline: BootInstant?
    private var isLineShown = false

    init(_ output: Output) {
        self.output = output
    }

    mutating func show(report: JSON) throws(Failure) {
        let session = SessionText(report: report)
        state = session.state
        deadline = session.remaining.map { .now + $0 }
        try redraw()
    }

    mutating func show(event: JSON) throws(Failure) {
        switch output.format {
        case .json:
            try output.document(event)
        case .table:
            try clear()
            let message = Output.printable(event["message"]?.stringValue ?? "")
            lastEvent = message
            let offset = Self.seconds(event["offsetSeconds"]?.doubleValue ?? 0)
            try output.line("\(output.styled(offset, .dim))  \(event["kind"]?.stringValue ?? "?"): \(message)")
            try redraw()
        }
    }

    mutating func redraw() throws(Failure) {
        guard output.isLive else { return }
        var line = state
        if let deadline { line += ", \(SessionText.rounded(max(.zero, deadline - .now))) left" }
        if !lastEvent.isEmpty { line += " · \(lastEvent)" }
        try output.write("\r\u{1B}[K" + output.styled(String(line.prefix(output.columns - 1)), .ofState(state)))
        isLineShown = true
    }

    /// Takes the living line away: something else is going to be printed.
    mutating func clear() throws(Failure) {
        guard isLineShown else { return }
        try output.write("\r\u{1B}[K")
        isLineShown = false
    }

    /// As `   0.012s`, aligned up to an hour.
    private static func seconds(_ value: Double) -> String {
        let milliseconds = Int64((value * 1000).rounded())
        let fraction = String(milliseconds % 1000)
        let text = "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - fraction.count) + fraction + "s"
        return String(repeating: " ", count: max(0, 9 - text.count)) + text
    }
}
