package import ChaosModel
package import DeadMan
package import WorkerProtocol

/// A step that was decided on, with all that undoing it needs: what the journal holds before anything is changed.
/// No runtime, no fault and no live handle is needed to undo it.
package enum Intent: Hashable, Sendable {
    case shapeTraffic(TrafficLayer, in: TargetFacts.NetworkNamespace, base: TrafficBase)
    case runWorker(WorkerTask, outOfMemoryScore: Int32, in: TargetFacts.Cgroup)
    case fillDisk(FillFile, in: TargetFacts.Cgroup)
    case lowerLimit(LimitLayer, in: TargetFacts.Cgroup)
    case signalProcesses(SignalOrder, in: TargetFacts.Cgroup)
    case stopContainer(ContainerStop)
    case stopService(FoundService)
    case restartService(FoundService)
    case skewClock(SteppedClock)
    case shutDown(ShutdownOrder)
}

extension Intent {
    /// As a person would say it.
    package var summary: String {
        switch self {
        case .shapeTraffic(let layer, _, let base):
            "\(layer.summary) on \(base.interfaces.map(\.name).joined(separator: ", "))"
                + base.exclusionWords(from: layer)
        case .runWorker(let task, _, let cgroup):
            "run a worker that \(task.words) in cgroup \(cgroup.path)"
        case .fillDisk(let file, let cgroup): file.summary(in: cgroup)
        case .lowerLimit(let layer, let cgroup): "\(layer.summary), of cgroup \(cgroup.path)"
        case .signalProcesses(let order, let cgroup): "\(order.summary), in cgroup \(cgroup.path)"
        case .stopContainer(let stop): stop.summary
        case .stopService(let service): "have systemd stop \(service.words); all is started again at the end"
        case .restartService(let service): "have systemd restart \(service.words)"
        case .skewClock(let clock): clock.summary
        case .shutDown(let order): order.summary
        }
    }

    /// Whether a process runs for it.
    package var runsWorker: Bool {
        switch self {
        case .shapeTraffic, .lowerLimit, .signalProcesses, .stopContainer, .stopService, .restartService, .skewClock,
            .shutDown:
            false
        case .runWorker, .fillDisk: true
        }
    }

    /// Whether it can be taken back.
    package var isReversible: Bool {
        switch self {
        case .shapeTraffic, .runWorker, .fillDisk, .lowerLimit, .stopService, .skewClock: true
        case .signalProcesses, .stopContainer, .restartService, .shutDown: false
        }
    }

    /// Whether the end of the target's process is what it is for, and its session goes on without.
    package var outlivesTarget: Bool {
        switch self {
        case .shapeTraffic, .runWorker, .fillDisk, .lowerLimit, .signalProcesses, .stopContainer, .skewClock, .shutDown:
            false
        case .stopService, .restartService: true
        }
    }

    /// The units of systemd that it stops with the target.
    package var stoppedBeside: [String] {
        switch self {
        case .shapeTraffic, .runWorker, .fillDisk, .lowerLimit, .signalProcesses, .stopContainer, .skewClock, .shutDown:
            []
        case .stopService(let service), .restartService(let service): service.dependents
        }
    }

    /// Names what it changes together with other sessions' intents; nil for what is its own.
    package var shared: UInt64? {
        switch self {
        case .shapeTraffic(_, let network, _): network.tag
        case .lowerLimit(let layer, let cgroup): LimitKey(cgroup: cgroup, resource: layer.resource).tag
        // Of these there is one at a time, until it is undone.
        case .runWorker, .fillDisk, .signalProcesses, .stopContainer, .stopService, .restartService, .skewClock,
            .shutDown:
            nil
        }
    }

    /// What the end of its boot is for: how the host goes down by it.
    package var endOfBoot: HostShutdown? {
        if case .shutDown(let order) = self { order.how } else { nil }
    }

    /// Whether something of it can be left when the node was restarted.
    var outlivesBoot: Bool {
        switch self {
        // What systemd starts with the node, it has started, and the clock is that of the hardware.
        case .shapeTraffic, .runWorker, .lowerLimit, .signalProcesses, .stopContainer, .stopService, .restartService,
            .skewClock, .shutDown:
            false
        case .fillDisk(let file, _): file.isVisible
        }
    }

    package var json: JSON {
        switch self {
        case .shapeTraffic(let layer, let network, let base):
            ["step": "shape-traffic", "layer": layer.json, "base": base.json, "network": network.json]
        case .runWorker(let task, let score, let cgroup):
            ["step": "run-worker", "task": task.json, "oomScoreAdj": .integer(Int64(score)), "cgroup": cgroup.json]
        case .fillDisk(let file, let cgroup):
            ["step": "fill-disk", "file": file.json, "cgroup": cgroup.json]
        case .lowerLimit(let layer, let cgroup):
            ["step": "lower-limit", "layer": layer.json, "cgroup": cgroup.json]
        case .signalProcesses(let order, let cgroup):
            ["step": "signal-processes", "order": order.json, "cgroup": cgroup.json]
        case .stopContainer(let stop):
            [
                "step": "stop-container", "container": .string(stop.container),
                "graceSeconds": .integer(stop.graceSeconds),
            ]
        case .stopService(let service): ["step": "stop-service", "service": service.json]
        case .restartService(let service): ["step": "restart-service", "service": service.json]
        case .skewClock(let clock): ["step": "skew-clock", "clock": clock.json]
        case .shutDown(let order): ["step": "shut-down", "order": order.json]
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
            guard let task = json["task"].flatMap(WorkerTask.init),
                let cgroup = json["cgroup"].flatMap(TargetFacts.Cgroup.init)
            else { return nil }
            // Journals before there was a choice do not say.
            let score = json["oomScoreAdj"]?.integerValue.flatMap { Int32(exactly: $0) } ?? 1000
            self = .runWorker(task, outOfMemoryScore: score, in: cgroup)
        case "fill-disk":
            guard let file = json["file"].flatMap(FillFile.init),
                let cgroup = json["cgroup"].flatMap(TargetFacts.Cgroup.init)
            else { return nil }
            self = .fillDisk(file, in: cgroup)
        case "lower-limit":
            guard let layer = json["layer"].flatMap(LimitLayer.init),
                let cgroup = json["cgroup"].flatMap(TargetFacts.Cgroup.init)
            else { return nil }
            self = .lowerLimit(layer, in: cgroup)
        case "signal-processes":
            guard let order = json["order"].flatMap(SignalOrder.init),
                let cgroup = json["cgroup"].flatMap(TargetFacts.Cgroup.init)
            else { return nil }
            self = .signalProcesses(order, in: cgroup)
        case "stop-container":
            guard let container = json["container"]?.stringValue, let grace = json["graceSeconds"]?.integerValue else {
                return nil
            }
            self = .stopContainer(ContainerStop(of: container, graceSeconds: grace))
        case "stop-service":
            guard let service = json["service"].flatMap(FoundService.init) else { return nil }
            self = .stopService(service)
        case "restart-service":
            guard let service = json["service"].flatMap(FoundService.init) else { return nil }
            self = .restartService(service)
        case "skew-clock":
            guard let clock = json["clock"].flatMap(SteppedClock.init) else { return nil }
            self = .skewClock(clock)
        case "shut-down":
            guard let order = json["order"].flatMap(ShutdownOrder.init) else { return nil }
            self = .shutDown(order)
        default:
            return nil
        }
    }
}

extension FillFile {
    fileprivate func summary(in cgroup: TargetFacts.Cgroup) -> String {
        switch load {
        case nil:
            "fill \(isVisible ? "a file" : "an invisible file") with \(ByteCount(bytes)) in \(directory), by a worker "
                + "in cgroup \(cgroup.path)"
        case .io(let load):
            "load the disk of \(directory) by a worker in cgroup \(cgroup.path), that \(load.words) of an invisible file "
                + "of \(ByteCount(bytes))"
        case .cache(let load):
            "fill the page cache by a worker in cgroup \(cgroup.path), that writes an invisible file of "
                + "\(ByteCount(bytes)) in \(directory)\(load.words)"
        }
    }
}

extension WorkerTask {
    /// What it does, as a person would say it.
    fileprivate var words: String {
        switch self {
        case .cpu(let load, let threads, let ramp):
            "burns \(Self.text(load)) % of a CPU with \(threads == 1 ? "one thread" : "each of \(threads) threads")"
                + (ramp > 0 ? ", reached within \(Duration.nanoseconds(ramp).text)" : "")
        case .memory(let bytes, let ramp, let isHot):
            "holds \(ByteCount(bytes)) of memory"
                + (ramp > 0 ? ", reached within \(Duration.nanoseconds(ramp).text)" : "")
                + (isHot ? ", and uses it again and again" : "")
        case .disk(let bytes, _): "fills a file with \(ByteCount(bytes))"
        case .network(let load): load.words
        case .lookUp(let names, _): "looks up \(names.count) names"
        case .io(let load, let bytes, _): "\(load.words) of a file of \(ByteCount(bytes))"
        case .cache(let load, let bytes, _): "writes a file of \(ByteCount(bytes)) into the page cache\(load.words)"
        }
    }

    private static func text(_ number: Double) -> String {
        let tenths = (number * 10).rounded() / 10
        return tenths == tenths.rounded() ? String(Int(tenths)) : String(tenths)
    }

    fileprivate var json: JSON {
        switch self {
        case .cpu(let load, let threads, let ramp):
            [
                "cpu": .object([
                    ("load", .number(load)), ("threads", .integer(Int64(threads))),
                    ("rampNanoseconds", ramp > 0 ? .integer(ramp) : nil),
                ])
            ]
        case .memory(let bytes, let ramp, let isHot):
            [
                "memory": .object([
                    ("bytes", .integer(bytes)), ("rampNanoseconds", .integer(ramp)), ("hot", isHot ? true : nil),
                ])
            ]
        case .disk(let bytes, let reserve): ["disk": ["bytes": .integer(bytes), "reserve": .integer(reserve)]]
        case .network(let load): ["network": load.json]
        // No intent: nothing of it is left.
        case .lookUp: .null
        case .io(let load, let bytes, let reserve):
            ["io": load.json, "bytes": .integer(bytes), "reserve": .integer(reserve)]
        case .cache(let load, let bytes, let reserve):
            ["cache": load.json, "bytes": .integer(bytes), "reserve": .integer(reserve)]
        }
    }

    fileprivate init?(_ json: JSON) {
        if let load = json["cpu"]?["load"]?.doubleValue, let threads = json["cpu"]?["threads"]?.integerValue {
            let ramp = json["cpu"]?["rampNanoseconds"]?.integerValue ?? 0
            self = .cpu(load: load, threads: Int(threads), rampNanoseconds: ramp)
        } else if let bytes = json["memory"]?["bytes"]?.integerValue,
            let ramp = json["memory"]?["rampNanoseconds"]?.integerValue
        {
            self = .memory(
                bytes: bytes, rampNanoseconds: ramp, isHot: json["memory"]?["hot"]?.booleanValue ?? false)
        } else if let bytes = json["disk"]?["bytes"]?.integerValue, let reserve = json["disk"]?["reserve"]?.integerValue
        {
            self = .disk(bytes: bytes, reserve: reserve)
        } else if let load = json["network"].flatMap(NetworkLoad.init) {
            self = .network(load)
        } else if let load = json["io"].flatMap(IOLoad.init), let bytes = json["bytes"]?.integerValue,
            let reserve = json["reserve"]?.integerValue
        {
            self = .io(load, bytes: bytes, reserve: reserve)
        } else if let load = json["cache"].flatMap(CacheLoad.init), let bytes = json["bytes"]?.integerValue,
            let reserve = json["reserve"]?.integerValue
        {
            self = .cache(load, bytes: bytes, reserve: reserve)
        } else {
            return nil
        }
    }
}
