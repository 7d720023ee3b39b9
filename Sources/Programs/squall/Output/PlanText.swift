import AgentClient
import ChaosModel
import Faults

/// What a dry run found, in words: what would be hit and changed, for how long, and how it is taken back.
struct PlanText {
    /// As the agent answered.
    let plan: JSON
    let request: TenantRequest.Injection
    /// The key, as the command line names it.
    let key: String
    /// The program would stay with the session.
    let waits: Bool

    func lines(for output: Output) -> [String] {
        var table = Table()
        table.add("hits", Table.Cell(SessionText.target(plan["target"])))
        for fact in facts { table.add("", Table.Cell(fact)) }
        if let parameters { table.add("with", Table.Cell(parameters)) }
        for (index, step) in steps.enumerated() {
            table.add(index == 0 ? "changes" : "", Table.Cell("\(index + 1). \(step)"))
        }
        for (index, note) in notes.enumerated() {
            table.add(index == 0 ? "note" : "", Table.Cell(note, .warning))
        }
        table.add("lasts", Table.Cell(duration))
        for (index, way) in waysToEnd.enumerated() { table.add(index == 0 ? "ends" : "", Table.Cell(way)) }
        table.add("undone", Table.Cell(undoing, isReversible ? nil : .warning))
        table.add(
            "take back", Table.Cell("squall session revert ID --key \(key), or as root on the node without a key"))
        if target?.isHost ?? false {
            table.add("touches", Table.Cell("everything on the host: its units, containers and processes", .warning))
            table.add("leaves", Table.Cell("what the host is reached by, as far as the changes and notes say"))
        } else if let reach {
            table.add("touches", Table.Cell(reach.touched))
            table.add("leaves", Table.Cell(reach.untouched))
        }
        let title = "\(output.styled("Would", .bold)) \(plan["summary"]?.stringValue ?? "?")"
        return [title] + table.lines(for: output, indentation: 2)
            + [output.styled("Nothing has been changed.", .good)]
    }

    private var target: TargetFacts? { plan["target"].flatMap { TargetFacts($0) } }

    private var facts: [String] {
        guard let facts = target, !facts.isHost else { return [] }
        let process = facts.process.map { "process \($0.id)" }
        return [[process, "cgroup \(facts.cgroup.path)"].compactMap(\.self).joined(separator: ", ")]
    }

    /// The values in force, those that nobody gave too.
    private var parameters: String? {
        guard let members = plan["parameters"]?.members, !members.isEmpty else { return nil }
        return members.map { "\($0.name)=\($0.value.stringValue ?? $0.value.text)" }.joined(separator: " ")
    }

    private var steps: [String] {
        (plan["steps"]?.arrayValue ?? []).map { $0.stringValue ?? "?" }
    }

    /// What is to be known before it is done to this target.
    private var notes: [String] { (plan["notes"]?.arrayValue ?? []).compactMap(\.stringValue) }

    private var duration: String { plan["duration"]?.stringValue ?? request.duration.text }

    private var waysToEnd: [String] {
        var ways = ["by itself after \(duration)"]
        if let lease = request.lease {
            ways.append(
                "earlier, when nobody has renewed its lease for \(lease.text)\(waits ? "; this program would" : "")")
        }
        if waits { ways.append("earlier, when this program is interrupted") }
        switch request.onRestart {
        case .end: ways.append("earlier, on request, when the target ends, or when the agent stops or dies")
        case .reinject:
            ways.append("earlier, on request, or when the agent stops or dies")
            ways.append("not with the target: when that is started again, the fault is injected again")
        }
        return ways
    }

    private var isReversible: Bool { plan["reversible"]?.booleanValue ?? true }

    private var undoing: String {
        if !isReversible { return "nothing: what this does cannot be taken back" }
        let order = steps.count > 1 ? "the changes are taken back in reverse order" : "the change is taken back"
        return "\(order), and what the kernel then has is read back and reported"
    }

    private var reach: Reach? { plan["reach"]?.stringValue.flatMap(Reach.init) }
}

extension Reach {
    fileprivate var touched: String {
        switch self {
        case .container: "the processes of this container or cgroup"
        case .service: "the processes of this service, and of those that are stopped with it"
        case .pod: "every container of the pod: they share one network namespace"
        case .node: "what the target shares with others on the node"
        case .host: "all of the host, and whatever runs on it"
        }
    }

    fileprivate var untouched: String {
        switch self {
        case .container: "other containers and units, and the node itself"
        case .service: "all other units, containers, and the node itself"
        case .pod: "all other pods, and the node's own network"
        case .node: "what on the node the target does not share"
        case .host: "nothing on this host"
        }
    }
}
