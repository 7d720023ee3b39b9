import Cgroups
import ChaosModel
import Faults
import Sessions
import Steps
import Targets

extension Scheduler.Plan {
    /// The plan as `POST /v1/plans` tells it.
    var json: JSON {
        [
            "fault": .string(fault),
            "summary": .string(summary),
            "parameters": parameters,
            "target": target.json,
            "duration": .string(duration.text),
            "steps": .array(intents.map { .string($0.summary) }),
            "notes": .array(notes.map(JSON.string)),
            "reach": .string(reach.rawValue),
            "reversible": .boolean(intents.allSatisfy(\.isReversible)),
        ]
    }
}

extension Scheduler.TargetReport {
    /// The report as the command `target` tells it.
    var json: JSON {
        .object([
            ("target", facts.json),
            ("cpus", .integer(Int64(cpuCount))),
            ("hostNetwork", .boolean(isOnHostNetwork)),
            ("frozen", .boolean(limits.isFrozen)),
            ("memoryLimit", limits.memory.map { .integer($0.bytes) }),
            ("sessions", .array(sessions.map(\.json))),
        ])
    }
}

extension Scheduler.SharingSession {
    fileprivate var json: JSON {
        let shares = (hasSameCgroup ? ["cgroup"] : []) + (hasSameNetwork ? ["network"] : [])
        return ["shares": .array(shares.map(JSON.string)), "session": report.json]
    }
}
