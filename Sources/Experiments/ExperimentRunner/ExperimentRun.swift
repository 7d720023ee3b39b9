import AgentClient
package import ChaosModel
import Dispatch
package import ExperimentModel
import KubernetesClient
import LinuxSystem
import Synchronization

/// Carries an experiment out, from its first probe to its last session's end.
package final class ExperimentRun: Sendable {
    private let experiment: Experiment
    private let fleet: Fleet
    private let cluster: Cluster
    private let stop: StopSignal
    private let ownActions: [String: Action]
    private let stopsWithoutHypothesis: Bool
    private let isNeeded: @Sendable (String) -> Bool
    private let background = DispatchGroup()
    /// Steps whose faults are to end before their time.
    private let toEnd = Mutex<Set<String>>([])
    /// Requests that are to be taken back, in the order in which they were sent.
    private let toUndo = Mutex<[(step: String, action: HTTPAction)]>([])
    /// How long that may take: what cannot be undone is tried again by its agent.
    private static let endPatience = Duration.seconds(60)
    package let recorder: Recorder

    /// Does a step in place of what the experiment says, and returns what others can refer to.
    package typealias Action = @Sendable (Recorder) throws -> JSON?

    /// - Parameters:
    ///   - ownActions: By the names of the steps.
    ///   - isNeeded: Whether a step is done at all, asked when it is its turn.
    ///   - stopsWithoutHypothesis: Whether a probe that fails before the first step is the end, or only one that says so.
    package init(
        _ experiment: Experiment, on fleet: Fleet, in cluster: Cluster, id: String, seed: Int64, inputs: JSON,
        stop: StopSignal, ownActions: [String: Action] = [:],
        isNeeded: @escaping @Sendable (String) -> Bool = { _ in true }, stopsWithoutHypothesis: Bool = true,
        listener: @escaping Recorder.Listener
    ) {
        self.experiment = experiment
        self.fleet = fleet
        self.cluster = cluster
        self.stop = stop
        self.ownActions = ownActions
        self.isNeeded = isNeeded
        self.stopsWithoutHypothesis = stopsWithoutHypothesis
        recorder = Recorder(experiment, id: id, seed: seed, inputs: inputs, listener: listener)
    }

    /// Returns when everything is over and taken back, or told to be.
    package func run() {
        let isOver = StopSignal()
        let watching = DispatchGroup()
        inBackground(watching) { [self] in
            if !isOver.wait(experiment.timeout) { stop.stop(.timeout) }
        }
        defer {
            isOver.stop(.interrupted)
            watching.wait()
        }
        if let failure = firstFailure("SOT", [.startOfTest, .edge]) {
            let reason = stop.reason?.words ?? "\(failure) before anything was done, so nothing was done"
            return recorder.end(
                stop.reason == .interrupted || stop.reason == .timeout ? .stopped : .fail, reason: reason)
        }
        let stepsAreOver = StopSignal()
        let probing = DispatchGroup()
        for probe in experiment.probes where [.continuous, .onChaos].contains(probe.mode) {
            inBackground(probing) { [self] in watch(probe, until: stepsAreOver) }
        }
        perform(experiment.steps, mayFail: false)
        background.wait()
        takeBackRequests()
        stepsAreOver.stop(.interrupted)
        probing.wait()
        end()
    }

    private func end() {
        switch stop.reason {
        case .interrupted, .timeout: return recorder.end(.stopped, reason: stop.reason?.words)
        case .stepFailed: return recorder.end(.error, reason: stop.reason?.words)
        case .probeFailed: return recorder.end(.fail, reason: stop.reason?.words)
        case nil: break
        }
        for probe in experiment.probes where [.endOfTest, .edge].contains(probe.mode) {
            if stop.wait(probe.initialDelay) { break }
            ProbeRunner(probe: probe, recorder: recorder, cluster: cluster, stop: stop).run("EOT")
        }
        if let reason = stop.reason { return recorder.end(.stopped, reason: reason.words) }
        let unseen = experiment.probes.filter { !recorder.hasRun($0) }
        if unseen.isEmpty { recorder.complete() }
        let failed = experiment.probes.filter { recorder.firstFailure(of: $0) != nil }
        if !failed.isEmpty { return recorder.end(.fail, reason: "\(Self.names(failed)) failed") }
        if !unseen.isEmpty { return recorder.end(.fail, reason: "\(Self.names(unseen)) never ran") }
        recorder.end(.pass, reason: nil)
    }

    private static func names(_ probes: [Probe]) -> String {
        probes.map { "probe \"\($0.name)\"" }.joined(separator: ", ")
    }

    // MARK: Probes

    /// Runs those of the modes one after the other, up to the first that fails, or the stop.
    private func firstFailure(_ phase: String, _ modes: [Probe.Mode]) -> String? {
        for probe in experiment.probes where modes.contains(probe.mode) {
            if stop.wait(probe.initialDelay) { return "it was stopped" }
            let runner = ProbeRunner(probe: probe, recorder: recorder, cluster: cluster, stop: stop)
            let passed = runner.run(phase)
            if stop.reason != nil { return "it was stopped" }
            if passed != true, stopsWithoutHypothesis || probe.stopsOnFailure {
                return "probe \"\(probe.name)\" failed"
            }
        }
        return nil
    }

    private func watch(_ probe: Probe, until isOver: StopSignal) {
        let runner = ProbeRunner(probe: probe, recorder: recorder, cluster: cluster, stop: stop)
        let needed = probe.stepsReferredTo
        var isDelayed = false
        while isOver.reason == nil, stop.reason == nil {
            // What a step finds out is there when it is over.
            let waits = probe.mode == .onChaos && recorder.active == 0 || !needed.allSatisfy(recorder.isOver)
            if waits {
                isOver.wait(.milliseconds(100))
            } else if !isDelayed {
                isDelayed = true
                isOver.wait(probe.initialDelay)
            } else {
                if runner.run(probe.mode.rawValue) == false, probe.stopsOnFailure {
                    stop.stop(.probeFailed(probe.name))
                }
                isOver.wait(probe.pollingInterval)
            }
        }
    }

    // MARK: Steps

    /// One after the other, up to the first that fails.
    ///
    /// - Parameter mayFail: Whether something around them goes on when one fails.
    /// - Returns: Why one failed.
    @discardableResult
    private func perform(_ steps: [ExperimentStep], mayFail: Bool) -> String? {
        for step in steps {
            if stop.reason != nil { return nil }
            if let failure = perform(step, mayFail: mayFail) { return failure }
        }
        return nil
    }

    private func perform(_ step: ExperimentStep, mayFail: Bool) -> String? {
        recorder.step(step.name, is: .running)
        let mayFail = mayFail || step.isOptional
        let failure: String?
        do {
            failure = try carryOut(step, mayFail: mayFail)
        } catch {
            failure = "\(error)"
        }
        let hasStopped = stop.reason != nil
        guard let failure else {
            recorder.step(step.name, is: hasStopped ? .stopped : .succeeded)
            return nil
        }
        let own = Set(step.withInner.map(\.name))
        if let reason = stop.reason, !reason.isOf(own) {
            recorder.step(step.name, is: .stopped, message: failure)
            return nil
        }
        recorder.step(step.name, is: .failed, message: failure)
        if !mayFail { stop.stop(.stepFailed(step.name, because: failure)) }
        return step.isOptional ? nil : failure
    }

    private func carryOut(_ step: ExperimentStep, mayFail: Bool) throws -> String? {
        if !isNeeded(step.name) { return nil }
        if let action = ownActions[step.name] {
            if let output = try action(recorder) { recorder.step(step.name, said: output) }
            return nil
        }
        let context = recorder.context()
        switch step.action {
        case .fault(let order): return try inject(order, step.name, context, mayFail: mayFail)
        case .script(let script):
            let output = try script.output(in: context, cluster: cluster, within: script.timeout, stop: stop)
            recorder.step(step.name, said: try script.parsed(output))
            return nil
        case .deletePods(let deletion):
            var deleted: [JSON] = []
            try deletion.run(in: context, cluster: cluster, seed: recorder.seed, stop: stop) { pods in
                deleted += pods.map(\.json)
                recorder.step(step.name, chose: .array(deleted))
                for pod in pods { recorder.tell("step \(step.name)", "pod \(pod.namespace)/\(pod.name) deleted") }
            }
            return nil
        case .wait(let template):
            stop.wait(try template.duration(in: context, ExperimentStep.waits, "wait"))
            return nil
        case .probe(let name):
            guard let probe = experiment.probes.first(where: { $0.name == name }) else { return "no such probe" }
            guard let passed = ProbeRunner(probe: probe, recorder: recorder, cluster: cluster, stop: stop).run("step")
            else { return nil }
            if !passed, probe.stopsOnFailure { stop.stop(.probeFailed(name)) }
            // The experiment goes on: that the probe failed is what it found out.
            recorder.step(step.name, said: ["passed": .boolean(passed)])
            return nil
        case .http(let action):
            let output = try action.run(in: context) {
                // Also what is not answered may be done.
                if action.undo != nil { toUndo.withLock { $0.append((step.name, action)) } }
            }
            recorder.step(step.name, said: output)
            return nil
        case .end(let name):
            if let (place, action) = takenToUndo(name) {
                guard let failure = action.takeBack(in: context) else {
                    recorder.tell("step \(name)", "taken back")
                    return nil
                }
                // Once more, at the end.
                toUndo.withLock { $0.insert((name, action), at: min(place, $0.count)) }
                return "step \"\(name)\": \(failure)"
            }
            toEnd.withLock { _ = $0.insert(name) }
            let givesUpAt = BootInstant.now + Self.endPatience
            while recorder.active(of: name) > 0, BootInstant.now < givesUpAt {
                if stop.wait(.milliseconds(100)) { return nil }
            }
            return recorder.active(of: name) > 0 ? "the fault of step \"\(name)\" is in effect still" : nil
        case .serial(let steps): return perform(steps, mayFail: mayFail)
        case .parallel(let steps):
            return atOnce(steps) { self.perform($0, mayFail: mayFail) }.compactMap(\.self).first
        }
    }

    // MARK: Requests

    private func takenToUndo(_ name: String) -> (place: Int, action: HTTPAction)? {
        toUndo.withLock { all in
            all.firstIndex { $0.step == name }.map { ($0, all.remove(at: $0).action) }
        }
    }

    /// The last first, whyever the experiment ends.
    private func takeBackRequests() {
        while let (step, action) = toUndo.withLock({ $0.popLast() }) {
            guard let failure = action.takeBack(in: recorder.context()) else {
                recorder.tell("step \(step)", "taken back")
                continue
            }
            recorder.step(step, is: .failed, message: failure)
            stop.stop(.stepFailed(step, because: failure))
        }
    }

    // MARK: Faults

    private func inject(_ order: FaultOrder, _ name: String, _ context: JSON, mayFail: Bool) throws -> String? {
        let request = try FaultRequest(order, in: context, fleet: fleet)
        let targets = try request.choose(seed: recorder.seed, cluster: cluster, stop: stop)
        recorder.step(name, chose: .array(targets.map(\.json)))
        if order.sequence == .serial {
            for target in targets {
                if let failure = hold([target], request, name, Muster(of: 1)) { return failure }
                if stop.reason != nil { return nil }
            }
            return nil
        }
        let muster = Muster(of: targets.count)
        guard order.isBackground else { return hold(targets, request, name, muster) }
        inBackground(background) { [self] in
            guard let failure = hold(targets, request, name, muster), muster.refusal == nil else { return }
            recorder.step(name, is: .failed, message: failure)
            if !mayFail { stop.stop(.stepFailed(name, because: failure)) }
        }
        muster.waitForAll()
        return muster.refusal
    }

    /// Until all are over: all are begun, or none.
    ///
    /// - Returns: What was not as asked.
    private func hold(_ targets: [ChosenTarget], _ request: FaultRequest, _ name: String, _ muster: Muster) -> String? {
        let failures = atOnce(targets) { [self] target in
            SessionKeeper(target, request, step: name, of: targets.count, recorder: recorder, stop: stop) { [self] in
                toEnd.withLock { $0.contains(name) }
            }.openAndHold(among: muster)
        }
        return muster.refusal ?? failures.compactMap(\.self).first
    }
}

/// What an experiment would do, found out without doing it. What depends on a script's output is not known before.
package struct ExperimentPlan {
    package struct Entry: Sendable {
        package let step: String
        package let fault: String
        /// Nil where it depends on what is not known yet.
        package let targets: [ChosenTarget]?
        package let problem: String?

        package var json: JSON {
            .object([
                ("step", .string(step)), ("fault", .string(fault)),
                ("targets", targets.map { .array($0.map(\.json)) }), ("problem", problem.map(JSON.string)),
            ])
        }
    }

    package static func entries(
        of experiment: Experiment, on fleet: Fleet, in cluster: Cluster, seed: Int64, inputs: JSON
    ) -> [Entry] {
        let context: JSON = [
            "experiment": ["id": "plan", "name": .string(experiment.name), "seed": .integer(seed)],
            "inputs": inputs, "steps": [:],
        ]
        return experiment.allSteps.compactMap { step in
            if case .deletePods(let deletion) = step.action {
                return Entry(
                    step: step.name, fault: step.kind, targets: nil, problem: deletion.preview(in: context, cluster))
            }
            if case .http(let action) = step.action {
                return Entry(step: step.name, fault: step.kind, targets: nil, problem: action.preview(in: context))
            }
            guard case .fault(let order) = step.action else { return nil }
            let references = [order.target, order.parameters, order.duration, order.agents, order.lease, order.reason]
                .compactMap(\.self).flatMap(\.references)
            if let unknown = references.first(where: { $0.parts.first == .member("steps") }) {
                return Entry(
                    step: step.name, fault: order.fault, targets: nil, problem: "known when \(unknown) is")
            }
            do {
                let request = try FaultRequest(order, in: context, fleet: fleet)
                return Entry(
                    step: step.name, fault: order.fault,
                    targets: try request.choose(seed: seed, cluster: cluster, stop: StopSignal()), problem: nil)
            } catch {
                return Entry(step: step.name, fault: order.fault, targets: [], problem: "\(error)")
            }
        }
    }
}
