package import ChaosModel
package import WorkerProtocol

/// A step that was decided on, with all that undoing it needs: what the journal holds before anything is changed.
/// No runtime, no fault and no live handle is needed to act on it.
package enum Intent: Hashable, Sendable {
    case shapeTraffic(TrafficLayer, in: TargetFacts.NetworkNamespace, base: TrafficBase)
    case runWorker(WorkerTask, in: TargetFacts.Cgroup)
}

extension Intent {
    /// As a person would say it.
    package var summary: String {
        switch self {
        case .shapeTraffic(let layer, _, let base):
            "\(layer.summary) on \(base.interfaces.map(\.name).joined(separator: ", "))"
        case .runWorker(.cpu(let load, let threads), let cgroup):
            "run a worker with \(threads) thread\(threads == 1 ? "" : "s") at \(Self.text(load)) % of a CPU in cgroup \(cgroup.path)"
        }
    }

    private static func text(_ number: Double) -> String {
        number == number.rounded() ? String(Int(number)) : String(number)
    }

    package var json: JSON {
        switch self {
        case .shapeTraffic(let layer, let network, let base):
            [
                "step": "shape-traffic", "layer": layer.json, "base": base.json,
                "network": network.json,
            ]
        case .runWorker(.cpu(let load, let threads), let cgroup):
            [
                "step": "run-worker", "task": ["cpu": ["load": .number(load), "threads": .integer(Int64(threads))]],
                "cgroup": cgroup.json,
            ]
        }
    }

    /// Reads what `json` wrote; nil for anything else.
    package init?(_ json: JSON) {
        switch json["step"]?.stringValue {
        case "shape-traffic":
            guard let layer = json["layer"].flatMap(TrafficLayer.init),
                let base = json["base"].flatMap(TrafficBase.init),
                let network = json["network"].flatMap(TargetFacts.NetworkNamespace.init)
            else { return nil }
            self = .shapeTraffic(layer, in: network, base: base)
        case "run-worker":
            guard let load = json["task"]?["cpu"]?["load"]?.doubleValue,
                let threads = json["task"]?["cpu"]?["threads"]?.integerValue,
                let cgroup = json["cgroup"].flatMap(TargetFacts.Cgroup.init)
            else { return nil }
            self = .runWorker(.cpu(load: load, threads: Int(threads)), in: cgroup)
        default:
            return nil
        }
    }
}
