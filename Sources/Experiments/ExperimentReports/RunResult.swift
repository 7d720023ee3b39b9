package import ChaosModel

/// What an experiment's run has come to, read from its result document. Whatever is missing there is left out of a report.
package struct RunResult: Sendable {
    package let document: JSON

    /// Nil for what is no such document.
    package init?(_ document: JSON) {
        guard document["kind"]?.stringValue == "ExperimentResult",
            document["experiment"]?["name"]?.stringValue != nil,
            ["Pass", "Fail", "Error", "Stopped", "Awaited"].contains(document["verdict"]?.stringValue ?? "Awaited")
        else { return nil }
        self.document = document
    }

    var name: String { text("experiment", "name") ?? "experiment" }
    package var verdict: String { text("verdict") ?? "Awaited" }
    package var score: Double? { document["score"]?.doubleValue }
    var seconds: Double { Self.bounded(document["seconds"]?.doubleValue ?? 0) }
    var probes: [JSON] { document["probes"]?.arrayValue ?? [] }
    var steps: [JSON] { document["steps"]?.arrayValue ?? [] }
    var sessions: [JSON] { document["sessions"]?.arrayValue ?? [] }
    var timeline: [JSON] { document["timeline"]?.arrayValue ?? [] }

    func text(_ names: String...) -> String? {
        var value: JSON? = document
        for name in names { value = value?[name] }
        return value?.stringValue
    }

    /// For people: one line that says it all.
    package var headline: String {
        let passed = probes.count { $0["verdict"]?.stringValue == "Passed" }
        var words = "\(name): \(verdict)"
        if let score { words += ", score \(Self.number(score)) %" }
        if !probes.isEmpty { words += ", \(passed) of \(probes.count) probes passed" }
        return words + " in \(Self.time(seconds))"
    }

    static func number(_ value: Double) -> String {
        if value == value.rounded(), abs(value) < 1e15 { return String(Int64(value)) }
        let digits = abs(value) >= 100 ? 1.0 : abs(value) >= 1 ? 100.0 : 10000.0
        return "\((value * digits).rounded() / digits)"
    }

    /// Whatever somebody else has written there.
    static func count(_ value: JSON?) -> Int64 { min(max(value?.integerValue ?? 0, 0), 1_000_000_000) }

    /// No experiment lasts for years.
    static func bounded(_ seconds: Double) -> Double { min(max(seconds, 0), 1e8) }

    static func time(_ given: Double) -> String {
        let seconds = bounded(given)
        if seconds < 60 { return "\(number((seconds * 10).rounded() / 10)) s" }
        let whole = Int(seconds.rounded())
        return "\(whole / 60) min \(whole % 60) s"
    }

    static func target(_ session: JSON) -> String { TargetFacts.word(session["target"]) ?? "" }
}
