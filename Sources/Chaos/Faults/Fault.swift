package import ChaosModel
package import Steps

/// One kind of harm, as a pure planner: it decides what to change and never changes anything itself.
package protocol Fault: Sendable {
    /// Its name everywhere: on the wire, on the command line, in metrics.
    static var kind: String { get }
    /// One line for lists.
    static var summary: String { get }
    /// What it does and what it does not, for the documentation.
    static var explanation: String { get }
    static var reach: Reach { get }
    static var needs: [NodeFeature] { get }
    /// Whether it makes files in the target.
    static var makesFiles: Bool { get }
    /// Whether all of the host can be its target.
    static var canHitHost: Bool { get }
    /// False for what cannot be taken back.
    static var isReversible: Bool { get }
    /// Whether the node's power guardrail is asked, too.
    static var takesHostDown: Bool { get }
    static var parameters: [Parameter] { get }
    static var examples: [FaultExample] { get }

    /// - Throws: `field-invalid` for values that contradict each other.
    init(_ values: ParameterValues) throws(Problem)

    /// Refuses a session's duration that is too short for these values; none unless told.
    ///
    /// - Throws: `field-invalid`.
    func refuseTooShort(_ duration: Duration) throws(Problem)

    /// What this one will do, as a person would say it.
    var summary: String { get }

    /// Of this one, where its parameters decide how far it reaches.
    var reach: Reach { get }

    /// The same on this target.
    func reach(on target: TargetObservation) -> Reach

    /// Parameters that are in force where the request says nothing of them and no standard value says it, or that mean
    /// more than they say: for whoever compares them with bounds.
    var implied: [JSON.Member] { get }

    /// What is to be known before it is done to this target: for people.
    func notes(on target: TargetObservation) -> [String]

    /// - Throws: `target-refused` for a target that this fault must not or cannot hit, `field-invalid` for a value that
    ///   means nothing for it.
    func plan(for target: TargetObservation) throws(Problem) -> [Step]
}

extension Fault {
    package static var makesFiles: Bool { false }

    package static var canHitHost: Bool { false }

    package static var isReversible: Bool { true }

    package static var takesHostDown: Bool { false }

    package var reach: Reach { Self.reach }

    package func reach(on target: TargetObservation) -> Reach { reach }

    package func refuseTooShort(_ duration: Duration) throws(Problem) {}

    package var implied: [JSON.Member] { [] }

    package func notes(on target: TargetObservation) -> [String] { [] }

    /// The plan for a target of any kind.
    ///
    /// - Throws: As `plan(for:)`, and `target-refused` for the whole host where only a part of it can be hit.
    package func steps(for target: TargetObservation) throws(Problem) -> [Step] {
        if target.facts.isHost, !Self.canHitHost {
            let others = FaultCatalogue.all.filter { $0.canHitHost }.map { $0.kind }
            throw Problem(
                .targetRefused, "\(Self.kind) hits a part of the host, and never all of it", field: "target",
                hint: "name a unit, a container, a process or a cgroup, as that of a slice; all of the host can have "
                    + others.joined(separator: ", "))
        }
        return try plan(for: target)
    }
}

/// How much of the node a fault can touch beside the target's own processes.
package enum Reach: String, Sendable {
    /// The target's cgroup: one container.
    case container
    /// The target, a service, and the units that systemd stops with it. Nothing else can be its target.
    case service
    /// The target's network namespace: every container of the pod.
    case pod
    /// What the target shares with others on the node, as its disk.
    case node
    /// All of the host. Nothing else can be its target.
    case host
}

package struct FaultExample: Sendable {
    package let title: String
    package let parameters: JSON

    package init(_ title: String, _ parameters: JSON) {
        self.title = title
        self.parameters = parameters
    }
}

/// What a planner may know of the target.
package struct TargetObservation: Sendable {
    package let facts: TargetFacts
    /// CPUs that the target's cpuset lets it run on.
    package let cpuCount: Int
    /// CPU time that the tightest quota gives it, in CPUs; nil when there is none.
    package let cpuQuota: Double?
    package let nodeCPUCount: Int
    /// The target uses the node's own network namespace.
    package let isOnHostNetwork: Bool
    /// The tightest limit that applies to its memory; nil when there is none.
    package let memoryLimit: ByteCount?
    /// What the whole node could still give, and what it has; nil where nobody asked.
    package let nodeMemory: NodeMemory?
    /// When memory runs out, all of its processes are killed together (`memory.oom.group`).
    package let diesTogether: Bool

    package init(
        facts: TargetFacts, cpuCount: Int, cpuQuota: Double? = nil, nodeCPUCount: Int? = nil, isOnHostNetwork: Bool,
        memoryLimit: ByteCount?,
        nodeMemory: NodeMemory? = nil,
        diesTogether: Bool
    ) {
        self.facts = facts
        self.cpuCount = cpuCount
        self.cpuQuota = cpuQuota
        self.nodeCPUCount = nodeCPUCount ?? cpuCount
        self.isOnHostNetwork = isOnHostNetwork
        self.memoryLimit = memoryLimit
        self.nodeMemory = nodeMemory
        self.diesTogether = diesTogether
    }
}

extension TargetObservation {
    /// The service that the target was named as.
    ///
    /// - Throws: `target-refused` for anything else.
    func service() throws(Problem) -> String {
        guard let unit = facts.unit.map({ "\($0)" }), unit.hasSuffix(".service") else {
            throw Problem(
                .targetRefused, "the target was not named as a service of systemd", field: "target",
                hint: "name one by --unit, as nginx.service")
        }
        return unit
    }
}

extension TargetObservation {
    /// - Throws: `target-refused` for anything but the whole host.
    func requireWholeHost() throws(Problem) {
        guard facts.isHost else {
            throw Problem(
                .targetRefused, "this fault hits the whole host, and not \(facts.summary) alone", field: "target",
                hint: "name the host by --host")
        }
    }
}
