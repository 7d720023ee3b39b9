import ChaosModel

/// What a dry run found, in words.
struct PlanText {
    let plan: JSON

    func lines(for output: Output) -> [String] {
        func text(_ name: String) -> String { plan[name]?.stringValue ?? "?" }
        var lines = ["\(output.styled("Would", .bold)) \(text("summary")),"]
        lines.append("  on \(SessionText.target(plan["target"])), for \(text("duration")).")
        let steps = plan["steps"]?.arrayValue ?? []
        if !steps.isEmpty {
            lines.append("Step by step, and back in reverse order:")
            for (index, step) in steps.enumerated() { lines.append("  \(index + 1). \(step.stringValue ?? "?")") }
        }
        lines.append("Nothing has been changed.")
        return lines
    }
}
