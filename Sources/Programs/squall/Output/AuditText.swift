import ChaosModel

/// One event of the audit log in words.
struct AuditText {
    private let event: JSON

    init(_ event: JSON) {
        self.event = event
    }

    func add(to table: inout Table) {
        let kind = text("event") ?? "?"
        table.add(
            Table.Cell(event["time"]?.integerValue.map { utc($0 / 1000) } ?? "-"),
            Table.Cell(kind, kind == "denied" ? .warning : .bold), Table.Cell(who), Table.Cell(text("session") ?? "-"),
            Table.Cell(what))
    }

    private var who: String {
        if event["operator"] == true { return "operator" }
        guard let tenant = text("tenant") else { return "-" }
        return text("subject").map { "\(tenant) (\($0))" } ?? tenant
    }

    private var what: String {
        let fault = text("fault").map { fault in
            fault + (event["parameters"].map { " \($0.text)" } ?? "")
        }
        let parts: [String?] =
            switch text("event") {
            case "opened": [fault, target.map { "on \($0)" }, text("reason").map { "because: \($0)" }]
            case "denied":
                [
                    text("code"), text("detail"),
                    (fault ?? text("operation")).map { "asked for: \($0)\(target.map { " on \($0)" } ?? "")" },
                ]
            case "ended":
                [
                    text("ending"), event["revertVerified"] == true ? "verified" : "NOT verified",
                    fault.map { "\($0)\(target.map { " on \($0)" } ?? "")" },
                ]
            case "started": [text("version").map { "version \($0)" }]
            case "policy":
                [text("problem").map { "refused: \($0)" } ?? text("hash").map { "in force: \($0.prefix(12))…" }]
            case "keys":
                [text("problem").map { "refused: \($0)" } ?? event["count"].map { "\($0.text) in force" }]
            case "lost": [event["count"].map { "\($0.text) events" }]
            case "halted": [text("reason")]
            default: []
            }
        return parts.compactMap(\.self).joined(separator: "; ")
    }

    private var target: String? {
        guard let target = event["target"] else { return nil }
        return target.stringValue ?? TargetFacts(target)?.summary ?? target.text
    }

    private func text(_ name: String) -> String? { event[name]?.stringValue }
}
