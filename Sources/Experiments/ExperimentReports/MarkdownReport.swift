import ChaosModel

extension RunResult {
    /// For a pull request or a ticket.
    package var markdown: String {
        var lines = ["# \(Self.cell(name)): \(verdict)", ""]
        if let hypothesis = text("experiment", "hypothesis") { lines += ["> \(Self.cell(hypothesis))", ""] }
        if let reason = text("reason") { lines += ["\(Self.cell(reason)).", ""] }
        var facts = ["started \(Self.cell(text("startedAt") ?? ""))", "took \(Self.time(seconds))"]
        if let score { facts.append("score \(Self.number(score)) %") }
        lines += ["\(facts.joined(separator: ", ")); run \(Self.cell(text("id") ?? "")).", ""]
        if !probes.isEmpty {
            lines += ["| probe | mode | expected | runs | verdict | first failure |", "|---|---|---|---|---|---|"]
            lines += probes.map { probe in
                let passed = Self.count(probe["passed"])
                let all = passed + Self.count(probe["failed"])
                return Self.row([
                    probe["name"]?.stringValue, probe["mode"]?.stringValue, probe["expect"]?.stringValue,
                    "\(passed) of \(all)", probe["verdict"]?.stringValue, probe["message"]?.stringValue,
                ])
            }
            lines.append("")
        }
        lines += ["| step | kind | state | from | to | |", "|---|---|---|---|---|---|"]
        lines += steps.map { step in
            Self.row([
                step["name"]?.stringValue, step["kind"]?.stringValue, step["state"]?.stringValue,
                step["begin"]?.doubleValue.map(Self.time), step["end"]?.doubleValue.map(Self.time),
                step["message"]?.stringValue,
            ])
        }
        lines.append("")
        if !sessions.isEmpty {
            lines += ["| fault | target | node | ending | taken back |", "|---|---|---|---|---|"]
            lines += sessions.map { session in
                Self.row([
                    session["summary"]?.stringValue, Self.target(session), session["agent"]?.stringValue,
                    session["ending"]?.stringValue ?? session["state"]?.stringValue,
                    session["revertVerified"]?.booleanValue == true ? "verified" : "not verified",
                ])
            }
            lines.append("")
        }
        return lines.joined(separator: "\n")
    }

    private static func row(_ cells: [String?]) -> String {
        "| \(cells.map { cell($0 ?? "") }.joined(separator: " | ")) |"
    }

    /// What others wrote must not end a cell, nor be read as marks or HTML.
    private static func cell(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "<": escaped += "&lt;"
            case "&": escaped += "&amp;"
            case "@", ":": escaped += "&#\(scalar.value);"
            case "|", "`", "*", "_", "[", "]", "\\", "#", "!", "~", "$": escaped += "\\\(scalar)"
            default:
                let isShown = scalar.properties.generalCategory != .control
                escaped.unicodeScalars.append(isShown ? scalar : " ")
            }
        }
        return escaped
    }
}
