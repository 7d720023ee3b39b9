import AgentClient
import Authorization
import ChaosModel
import ExperimentModel
import KubernetesClient
import LinuxSystem

/// One target, and the agent of its node.
package struct ChosenTarget: Sendable {
    let agent: Fleet.Agent
    /// As the agent's plan tells it.
    let plan: JSON
    /// Exactly this one, however many there are meanwhile.
    let selector: TargetSelector

    var json: JSON {
        let target = plan["target"]
        return .object([
            ("agent", .string(agent.name)), ("namespace", target?["container"]?["namespace"]),
            ("pod", target?["container"]?["pod"]), ("podUID", target?["container"]?["podUID"]),
            ("container", target?["container"]?["name"]), ("containerID", target?["container"]?["id"]),
            ("unit", target?["unit"]), ("process", target?["process"]?["pid"]), ("cgroup", target?["cgroup"]?["path"]),
        ])
    }

    package var node: String { agent.name }
    package var name: String { TargetFacts.word(plan["target"]) ?? "the target" }
    package var words: String { "\(name) on \(agent.name)" }
}

/// A fault whose templates have values.
struct FaultRequest: Sendable {
    let fault: String
    let parameters: JSON
    let target: ExperimentTarget
    let duration: Duration
    let lease: Duration
    let onRestart: RestartPolicy
    let reason: String?
    let agents: [Fleet.Agent]
    /// Whether the order says which.
    private let namesAgents: Bool
    private let fleet: Fleet

    /// At once.
    private static let mostQuestions = 64
    /// How long an agent that has too much to do is asked again.
    private static let patience = Duration.seconds(30)

    /// When the experiment's process is gone, its faults are, so long after.
    private static let standardLease = Duration.seconds(15)

    init(_ order: FaultOrder, in context: JSON, fleet: Fleet) throws {
        fault = order.fault
        parameters = try order.parameters.value(in: context)
        let named = try order.target.value(in: context)
        do throws(Problem) {
            target = try ExperimentTarget(named)
        } catch {
            throw StepFailure("its target: \(error.message)" + (error.field.map { " (\($0))" } ?? ""))
        }
        duration = try order.duration.duration(in: context, InjectionRequest.durations, "duration")
        let lease = try order.lease?.duration(in: context, InjectionRequest.durations, "lease")
        self.lease = min(lease ?? Self.standardLease, duration)
        onRestart = order.onRestart
        reason = try order.reason?.value(in: context).stringValue
        agents = try fleet.agents(try order.agents?.value(in: context))
        namesAgents = order.agents != nil
        self.fleet = fleet
    }

    func injection(of target: InjectionTarget) -> TenantRequest.Injection {
        // A lease is never shorter than a second.
        TenantRequest.Injection(
            fault: fault, parameters: parameters, target: target, duration: duration,
            lease: duration < .seconds(1) ? nil : max(lease, .seconds(1)), onRestart: onRestart, reason: reason)
    }

    // MARK: Whom it hits

    /// Asks every agent whom it would hit, and chooses among all of them. Nothing is hit.
    func choose(seed: Int64, cluster: Cluster, stop: StopSignal) throws -> [ChosenTarget] {
        switch target {
        case .workload(let workload): return try pods(of: workload, seed: seed, cluster, stop)
        case .agents(.pods(let group)):
            let all = PodGroup(pods: group.pods, share: .percent(100))
            let found = try candidates(.pods(all), stop)
            guard !found.isEmpty else { throw nothing }
            let places = group.chosen(of: found.map(Self.uid), seed: group.seed ?? seed)
            return places.map { found[$0] }
        case .agents(.one(let selector)):
            let found = try candidates(.one(selector), stop)
            switch selector {
            case .container, .pod:
                guard found.count <= 1 else {
                    throw StepFailure("its target is on several nodes: \(found.map(\.words).joined(separator: ", "))")
                }
            case .containerNamed, .process, .processNamed, .cgroup, .unit, .host:
                guard found.count <= 1 || namesAgents else {
                    throw StepFailure(
                        "its target is on several nodes: name them by \"agents\": \(found.map(\.words).joined(separator: ", "))"
                    )
                }
            }
            guard !found.isEmpty else { throw nothing }
            return found
        }
    }

    /// The cluster says which there are, and the agents of their nodes what would be hit.
    private func pods(
        of workload: WorkloadTarget, seed: Int64, _ cluster: Cluster, _ stop: StopSignal
    ) throws -> [ChosenTarget] {
        let found = try cluster.pods(.workload(workload)).filter { $0.phase == "Running" }
        guard !found.isEmpty else { throw nothing }
        let group = workload.group
        let chosen = group.chosen(of: found.map(\.uid), seed: group.seed ?? seed).map { found[$0] }
        let places = try chosen.map { pod in
            guard let agent = fleet.agents.first(where: { $0.name == pod.node }) else {
                throw StepFailure("\(pod.namespace)/\(pod.name) is on \(pod.node), where no agent is known")
            }
            guard agents.contains(where: { $0.name == agent.name }) else {
                throw StepFailure("\(pod.namespace)/\(pod.name) is on \(pod.node), which is not meant by \"agents\"")
            }
            let selector = PodSelector(
                namespace: pod.namespace, name: pod.name, uid: pod.uid, container: group.pods.container)
            return (agent, InjectionTarget.one(.pod(selector)))
        }
        let answers = atOnce(places) { [self] agent, target in
            Result { try Self.plan(injection(of: target), agent, stop) }.mapError {
                StepFailure("\(agent.name): \($0)")
            }
        }
        return try zip(places, answers).map { place, answer in
            let plan = try answer.get()
            return ChosenTarget(agent: place.0, plan: plan, selector: try Self.selector(plan, place.1))
        }
    }

    private var nothing: StepFailure {
        StepFailure(
            "no target is found on \(agents.count == 1 ? agents[0].name : "any of \(agents.count) nodes"): "
                + "\(target.json.text.cut(to: 200))")
    }

    private static func uid(_ target: ChosenTarget) -> String {
        target.plan["target"]?["container"]?["podUID"]?.stringValue ?? ""
    }

    private func candidates(_ target: InjectionTarget, _ stop: StopSignal) throws -> [ChosenTarget] {
        let injection = injection(of: target)
        var answers: [Result<JSON, TenantError>] = []
        for start in stride(from: 0, to: agents.count, by: Self.mostQuestions) {
            answers += atOnce(Array(agents[start..<min(start + Self.mostQuestions, agents.count)])) { agent in
                Result { () throws(TenantError) in try Self.plan(injection, agent, stop) }
            }
        }
        var found: [ChosenTarget] = []
        for (agent, answer) in zip(agents, answers) {
            switch answer {
            case .success(let body):
                if let omitted = body["omitted"]?.integerValue, omitted > 0 {
                    throw StepFailure("\(agent.name) has more pods that match than its answer has room for")
                }
                for plan in body["plans"]?.arrayValue ?? [body] {
                    found.append(ChosenTarget(agent: agent, plan: plan, selector: try Self.selector(plan, target)))
                }
            case .failure(let error):
                // Another node may have it.
                if error.code == ProblemCode.targetNotFound.rawValue { continue }
                throw StepFailure("\(agent.name): \(error)")
            }
        }
        return found
    }

    /// An agent prepares one group of a tenant at a time: who comes meanwhile is told to come again.
    private static func plan(
        _ injection: TenantRequest.Injection, _ agent: Fleet.Agent, _ stop: StopSignal
    ) throws(TenantError) -> JSON {
        let givesUpAt = BootInstant.now + patience
        while true {
            do throws(TenantError) {
                return try agent.client.body(of: .plan(injection))
            } catch {
                guard case .refused = error, error.mayPass, BootInstant.now < givesUpAt else { throw error }
                if stop.wait(.milliseconds(Int64.random(in: 100...600))) { throw error }
            }
        }
    }

    private static func selector(_ plan: JSON, _ asked: InjectionTarget) throws -> TargetSelector {
        if let id = plan["target"]?["container"]?["id"]?.stringValue { return .container(id) }
        guard case .one(let selector) = asked else { throw StepFailure("a plan names no container") }
        return selector
    }
}
