package import ChaosModel
package import Steps

/// Lets the kernel take memory back from the target.
package struct MemorySqueeze: Fault {
    package static let kind = "memory-squeeze"
    package static let summary = "makes the kernel take memory back from the target, which slows it down"
    package static let explanation = """
        The target's memory.high is lowered, without any process of the agent's: the kernel takes back what is beyond it, \
        file caches first and, where there is swap, other memory, and lets every process of the target that wants more \
        wait, the longer the further it is beyond. That kills nothing; but a target whose memory cannot be taken back, for \
        want of caches and swap, nearly stands still, and its probes may fail. What the kernel took back is read again as it is \
        needed, so the target may be slow for a while after the end. Of several such sessions the lowest limit applies. A \
        limit that somebody else changes meanwhile is left alone. Needs cgroup v2.
        """
    package static let reach = Reach.container
    package static let needs: [NodeFeature] = [.unifiedCgroups]
    package static let parameters = [
        Parameter(
            "size", .bytes(ByteCount(1 << 20)...ByteCount(16 << 40)),
            meaning:
                "memory that the target may use before it is squeezed: while it uses less, nothing happens; not with percent"
        ),
        Parameter(
            "percent", .percentage(1...99),
            meaning:
                "the same as a share of what the target uses when the session begins (not of its limit, as with "
                + "memory-stress), with caches and other sessions' workers, but 1MiB at the least; 80 where neither is given"
        ),
    ]
    package static let examples = [
        FaultExample("a fifth less than it uses", [:]),
        FaultExample("whatever it wants, 64 MiB at the most", ["size": "64MiB"]),
        FaultExample("half of what it uses", ["percent": 50]),
    ]

    private let amount: LoweredLimit.MemoryAmount

    package init(_ values: ParameterValues) throws(Problem) {
        switch try values.amount() {
        case .size(let size): amount = .bytes(size)
        case .percent(let share): amount = .ofUse(share)
        case nil: amount = .ofUse(.standardShare)
        }
    }

    package var implied: [JSON.Member] {
        guard case .ofUse(let share) = amount else { return [] }
        return [JSON.Member("percent", .number(share.value))]
    }

    package var summary: String {
        switch amount {
        case .bytes(let size): "squeeze the target's memory to \(size)"
        case .ofUse(let share): "squeeze the target's memory to \(share) of what it uses"
        }
    }

    package func plan(for target: TargetObservation) throws(Problem) -> [Step] { [.lowerLimit(.memory(amount))] }
}
