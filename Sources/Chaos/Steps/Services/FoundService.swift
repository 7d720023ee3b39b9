import ChaosModel

/// A service of the node's systemd as it was found: what tells whether it was stopped, and what starting it again needs.
package struct FoundService: Hashable, Sendable {
    package let unit: String
    /// When it was started, as systemd says: no other run of it says the same.
    package let run: String
    /// What systemd stops with it, since it depends on it, and was active.
    package let dependents: [String]

    package init(unit: String, run: String, dependents: [String]) {
        self.unit = unit
        self.run = run
        self.dependents = dependents
    }

    /// What is stopped, the service first.
    var units: [String] { [unit] + dependents }

    /// As a person would say it.
    var words: String {
        dependents.isEmpty ? unit : "\(unit), and with it what depends on it: \(dependents.joined(separator: ", "))"
    }

    var json: JSON {
        ["unit": .string(unit), "run": .string(run), "dependents": .array(dependents.map(JSON.string))]
    }

    /// Reads what `json` wrote; nil for anything else.
    init?(_ json: JSON) {
        guard let unit = json["unit"]?.stringValue, let run = json["run"]?.stringValue,
            let dependents = json["dependents"]?.arrayValue
        else { return nil }
        self.init(unit: unit, run: run, dependents: dependents.compactMap(\.stringValue))
        guard self.dependents.count == dependents.count else { return nil }
    }
}
