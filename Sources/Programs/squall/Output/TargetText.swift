import ChaosModel

/// What the engine tells of a target, in words.
struct TargetText {
    let report: JSON

    func lines(for output: Output) -> [String] {
        guard let facts = report["target"].flatMap({ TargetFacts($0) }) else {
            return ["the agent does not say what the target is"]
        }
        var table = Table()
        table.add("target", Table.Cell(facts.summary, .bold))
        if let container = facts.container {
            table.add("container", Table.Cell(container.id))
            if !container.podUID.isEmpty { table.add("pod", Table.Cell("uid \(container.podUID)")) }
        }
        if let unit = facts.unit { table.add("unit", Table.Cell("\(unit)")) }
        if let process = facts.process, !facts.isHost {
            table.add("process", Table.Cell("\(process.id), start time \(process.startTime)"))
        }
        table.add("network", network(facts))
        table.add("cgroup", Table.Cell("\(facts.cgroup.path), id \(facts.cgroup.id)"))
        table.add("CPUs", Table.Cell(report["cpus"]?.integerValue.map(String.init) ?? "?"))
        table.add("memory", Table.Cell(memory))
        if report["frozen"] == true { table.add("frozen", Table.Cell("yes: nothing can be started in it", .warning)) }
        return table.lines(for: output) + sessionLines(for: output)
    }

    private func network(_ facts: TargetFacts) -> Table.Cell {
        guard let network = facts.network else { return "none: no process is in the cgroup" }
        if facts.isHost {
            return Table.Cell(
                "the host's own, inode \(network.inode): network faults hit everybody's packets by the interfaces but "
                    + "loopback, and spare what the host is reached by",
                .warning)
        }
        if report["hostNetwork"] == true {
            return Table.Cell(
                "the node's own, inode \(network.inode): network faults hit what the target's own cgroup sends",
                .warning)
        }
        return Table.Cell("its own or its pod's, inode \(network.inode), cookie \(network.cookie)")
    }

    private var memory: String {
        guard let limit = report["memoryLimit"]?.integerValue, limit >= 0 else { return "no limit" }
        return "at most \(ByteCount(limit))"
    }

    private func sessionLines(for output: Output) -> [String] {
        let sessions = report["sessions"]?.arrayValue ?? []
        guard !sessions.isEmpty else { return ["sessions  none live"] }
        var table = Table("ID", "STATE", "LEFT", "FAULT", "TENANT", "SHARES", "TARGET")
        for entry in sessions {
            let session = SessionText(report: entry["session"] ?? .null)
            let shares = (entry["shares"]?.arrayValue ?? []).compactMap(\.stringValue).joined(separator: ", ")
            table.add(
                Table.Cell(session.id), Table.Cell(session.state, .ofState(session.state)),
                Table.Cell(session.remaining.map(SessionText.rounded) ?? "-"), Table.Cell(session.fault),
                Table.Cell(session.tenant), Table.Cell(shares), Table.Cell(session.target))
        }
        return ["sessions"] + table.lines(for: output, indentation: 2)
    }
}
