package import ChaosModel
package import WorkerProtocol

/// One change, as a fault plans it. The set is closed: recovery, dry run and `squall journal show`
/// know these steps and never a fault.
package enum Step: Hashable, Sendable {
    /// A layer on the traffic of the target's network namespace.
    case shapeTraffic(TrafficLayer)
    /// A worker of ours in the target's cgroup.
    ///
    /// `outOfMemoryScore` is 0 to 1000: how soon the kernel takes it when memory runs out; 1000 is first.
    case runWorker(WorkerTask, outOfMemoryScore: Int32 = 1000)
    /// A file of ours in the target's file tree, which a worker lets grow.
    case fillDisk(DiskFill)
    /// A lower limit of the target's cgroup.
    case lowerLimit(LoweredLimit)
    /// A signal, which cannot be taken back.
    case signalProcesses(SignalOrder)
    /// A container that its runtime stops, which cannot be taken back.
    case stopContainer(ContainerStop)
    /// A service that systemd stops, and starts again.
    case stopService(String)
    /// A service that systemd restarts, which cannot be taken back.
    case restartService(String)
    /// The host's wall clock, set ahead by so much or back.
    case skewClock(by: Duration)
    /// The host, which systemd takes down after a while; that cannot be taken back.
    case shutDown(HostShutdown, after: Duration)
}

extension Step {
    /// Whether all who are in the target's network namespace feel it.
    package var hitsNetwork: Bool {
        switch self {
        case .shapeTraffic: true
        case .runWorker(let task, _): if case .network = task { true } else { false }
        case .fillDisk, .lowerLimit, .signalProcesses, .stopContainer, .stopService, .restartService, .skewClock,
            .shutDown:
            false
        }
    }
}

/// What a node must be able to do for a step.
package enum NodeFeature: String, CaseIterable, Sendable {
    /// netem, ifb, clsact, flower and mirred in the kernel.
    case trafficShaping = "traffic-shaping"
    /// On the node's own network, what one cgroup sends can be told from the rest. No fault needs it but for such targets.
    case hostTraffic = "host-traffic"
    /// A process can be started in another cgroup.
    case workers
    /// The node's cgroups are of version 2.
    case unifiedCgroups = "cgroup-v2"
    /// A process can be started that outlives the agent, and undoes what is overdue. Every step needs it.
    case deadMansProcess = "dead-mans-process"
}
