package import ChaosModel
import Dispatch
import ExperimentModel
package import ExperimentRunner
package import KubernetesClient
import LinuxSystem
import Synchronization
import YAML

/// Carries an experiment of Litmus out, with the agents in place of Litmus's helper pods, and keeps its ChaosResult.
package final class LitmusRun: Sendable {
    package enum Ending: Sendable {
        /// Whatever the verdict is: Litmus reads it from the ChaosResult.
        case over(verdict: String)
        case aborted
    }

    private static let enginePause = Duration.seconds(3)
    private static let resultPause = Duration.seconds(1)
    private static let mostTargets = 150
    private static let mostKills = 400
    /// How long the verdict is offered to a server that does not answer.
    private static let verdictPatience = Duration.seconds(180)

    private let name: String
    let settings: LitmusSettings
    private let engine: JSON?
    private let namespace: String
    let client: KubernetesClient
    private let cluster: Cluster
    private let fleet: Fleet
    let stop: StopSignal
    private let listener: Recorder.Listener
    /// Workloads whose pods were deleted, and whom else something was done to that cannot be taken back.
    let targeted = Mutex<[JSON]>([])
    /// When the chaos began that has an end of its own.
    private let began = Mutex<BootInstant?>(nil)

    /// - Parameters:
    ///   - name: Of the experiment, as litmus-go has it.
    ///   - engine: The ChaosEngine; nil for none.
    package init(
        _ name: String, settings: LitmusSettings, engine: JSON?, cluster: Cluster, fleet: Fleet, stop: StopSignal,
        listener: @escaping Recorder.Listener
    ) throws(KubernetesError) {
        self.name = name
        self.settings = settings
        self.engine = engine
        self.cluster = cluster
        self.fleet = fleet
        self.stop = stop
        self.listener = listener
        client = try cluster.client()
        namespace =
            settings["CHAOS_NAMESPACE"] ?? engine?["metadata"]?["namespace"]?.stringValue ?? client.namespace
    }

    package func run() throws(KubernetesError) -> Ending {
        let experiment = settings["EXPERIMENT_NAME"] ?? name
        let result = try ChaosResult(
            client, namespace: namespace, experiment: experiment, engine: engine, settings: settings)
        let probes: LitmusProbes
        do throws(LitmusError) {
            probes = try LitmusProbes(engine, experiment: experiment)
        } catch {
            try result.begin(probes: [])
            return try refuse(error, probes: [], result)
        }
        try result.begin(probes: probes.probes)
        if engine?["spec"]?["engineState"]?.stringValue == "stop" { stop.stop(.interrupted) }
        let run: ExperimentRun
        do {
            run = try prepare(probes)
        } catch {
            return try refuse(error, probes: probes.probes, result)
        }
        let isOver = StopSignal()
        let watching = DispatchGroup()
        inBackground(watching) { [self] in watchEngine(until: isOver) }
        let isDone = Mutex(false)
        let running = DispatchGroup()
        inBackground(running) {
            run.run()
            isDone.withLock { $0 = true }
        }
        var told: [JSON] = []
        var hasInjected = false
        while !isDone.withLock({ $0 }) {
            if running.wait(timeout: .now() + Self.resultPause.seconds) == .success { break }
            let targets = targets(of: run.recorder)
            guard targets != told, !targets.isEmpty else { continue }
            told = targets
            if !hasInjected { Self.tellInjection(experiment, result) }
            hasInjected = true
            // What cannot be told now is told at the end.
            try? result.hits(targets)
        }
        isOver.stop(.interrupted)
        watching.wait()
        let outcome = outcome(of: run.recorder, probes.probes)
        if !hasInjected, !outcome.targets.isEmpty { Self.tellInjection(experiment, result) }
        try end(outcome, result)
        return tellSummary(outcome, experiment, result)
    }

    private static func tellInjection(_ experiment: String, _ result: ChaosResult) {
        result.tellEngine("PreChaosCheck", "AUT: Running")
        result.tellEngine("ChaosInject", "Injecting \(experiment) chaos on application pod")
    }

    private func end(_ outcome: ChaosResult.Outcome, _ result: ChaosResult) throws(KubernetesError) {
        let givesUpAt = BootInstant.now + Self.verdictPatience
        while true {
            do throws(KubernetesError) {
                return try result.end(outcome)
            } catch {
                guard error.mayPass, BootInstant.now < givesUpAt else { throw error }
                _ = StopSignal().wait(.seconds(2))
            }
        }
    }

    private func tellSummary(_ outcome: ChaosResult.Outcome, _ experiment: String, _ result: ChaosResult) -> Ending {
        if outcome.verdict == "Stopped", stop.reason == .interrupted {
            result.tell("Abort", "\(experiment) experiment has been aborted", isWarning: true)
            result.tellEngine("Summary", "\(experiment) experiment has been aborted", isWarning: true)
            return .aborted
        }
        result.tellEngine("PostChaosCheck", outcome.verdict == "Pass" ? "AUT: Running" : "AUT: \(outcome.verdict)")
        let words = ["Pass": "Passed", "Fail": "Failed"][outcome.verdict]
        result.tellEngine(
            "Summary",
            words.map { "\(experiment) experiment has been \($0)" }
                ?? "experiment: \(experiment), Result: \(outcome.verdict)", isWarning: outcome.verdict != "Pass")
        return .over(verdict: outcome.verdict)
    }

    /// Nothing was done.
    private func refuse(
        _ error: any Error, probes: [LitmusProbes.Probe], _ result: ChaosResult
    ) throws(KubernetesError) -> Ending {
        let reason = error as? LitmusError ?? LitmusError(.generic, "\(error)")
        listener(0, "experiment", "Error: \(reason)")
        let outcome = ChaosResult.Outcome(
            phase: "Error", verdict: "Error", percentage: 0, probes: probes.map { Self.unseen($0) }, error: reason)
        try end(outcome, result)
        return tellSummary(outcome, settings["EXPERIMENT_NAME"] ?? name, result)
    }

    // MARK: What is done

    private func prepare(_ probes: LitmusProbes) throws -> ExperimentRun {
        let fault = try LitmusFault(name, settings)
        let targets = try LitmusTargets(settings, engine: engine)
        let duration = try settings.seconds(
            "TOTAL_CHAOS_DURATION", otherwise: LitmusFault.standardDuration(of: name))
        let ramp = try settings.seconds("RAMP_TIME", otherwise: 0)
        var actions: [String: ExperimentRun.Action] = [:]
        var steps: [JSON] = []
        func own(_ name: String, _ action: @escaping ExperimentRun.Action) {
            steps.append(["name": .string(name), "wait": "0s"])
            actions[name] = action
        }
        let isChecked = settings.isTrue("DEFAULT_HEALTH_CHECK", otherwise: true)
        if isChecked { own("check-before") { [self] _ in try check(targets) } }
        if ramp > .zero { steps.append(["name": "ramp-up", "wait": .string(ramp.text)]) }
        switch fault {
        case .injected(let kind, let parameters, let containers):
            steps.append(try injection(kind, parameters, containers, targets.chosen(of: client), duration))
        case .containerKill(let gracePeriod, let interval):
            let (step, rests) = try kills(targets.chosen(of: client), gracePeriod, interval, duration)
            steps.append(step)
            actions.merge(rests) { $1 }
        case .podDelete(let force, let interval, let isRandom):
            // That there is somebody is known before anything is done.
            _ = try targets.chosen(of: client)
            own("chaos") { [self] recorder in
                try recorder.whileInEffect {
                    try deletePods(targets, recorder, force, interval, isRandom, until: .now + duration)
                }
                return nil
            }
        }
        if ramp > .zero, LitmusFault.rampsDown(name) {
            steps.append(["name": "ramp-down", "wait": .string(ramp.text)])
        }
        if isChecked { own("check-after") { [self] _ in try check(targets) } }
        let document: JSON = [
            "apiVersion": .string(Experiment.apiVersion), "kind": .string(Experiment.kind),
            "metadata": ["name": .string(name)],
            "spec": [
                "timeout": "24h", "probes": .array(probes.probes.map(\.json)), "steps": .array(steps),
            ],
        ]
        let experiment: Experiment
        do throws(YAMLError) {
            experiment = try Experiment(yaml: document.bytes)
        } catch {
            throw LitmusError(.generic, error.reason)
        }
        return ExperimentRun(
            experiment, on: fleet, in: cluster, id: settings["CHAOS_UID"] ?? name,
            seed: Int64.random(in: 0...999_999_999), inputs: [:], stop: stop, ownActions: actions,
            isNeeded: { [self] in isNeeded($0, duration) }, stopsWithoutHypothesis: false, listener: listener)
    }

    var isSerial: Bool {
        get throws(LitmusError) {
            switch settings.text("SEQUENCE", otherwise: "parallel").lowercased() {
            case "serial": return true
            case "parallel": return false
            case "random": return Bool.random()
            case let other: throw LitmusError(.generic, "'\(other.cut(to: 32))' sequence is not supported")
            }
        }
    }

    private func injection(
        _ fault: String, _ given: JSON, _ choice: LitmusFault.Containers, _ pods: [ClusterPod], _ duration: Duration
    ) throws -> JSON {
        var steps: [JSON] = []
        for pod in pods {
            for container in try containers(of: pod, choice) {
                steps.append([
                    "name": .string("chaos-\(steps.count + 1)"), "fault": .string(fault),
                    "parameters": try parameters(given, of: fault, for: container, of: pod),
                    "target": Self.target(pod, container), "agents": .array([.string(pod.node)]),
                    "duration": .string(duration.text), "reason": .string("litmus \(name)"),
                ])
            }
        }
        return try together(steps)
    }

    /// Rounds that come when the time is over are not needed.
    private func isNeeded(_ step: String, _ duration: Duration) -> Bool {
        guard step.hasPrefix("kill-") || step.hasPrefix("rest-") else { return true }
        let begin = began.withLock { began in
            began = began ?? .now
            return began ?? .now
        }
        return step.hasPrefix("rest-") || BootInstant.now - begin < duration
    }

    /// After each kill and its interval, what was killed has to be ready again.
    private func kills(
        _ pods: [ClusterPod], _ gracePeriod: Duration, _ interval: Duration, _ duration: Duration
    ) throws -> (JSON, [String: ExperimentRun.Action]) {
        let rounds = max(1, Int((duration / interval).rounded(.up)))
        guard rounds * pods.count <= Self.mostKills else {
            throw LitmusError(.generic, "\(rounds) rounds on \(pods.count) pods are more than \(Self.mostKills) kills")
        }
        let patience = try settings.seconds("STATUS_CHECK_TIMEOUT", otherwise: 180)
        var rests: [String: ExperimentRun.Action] = [:]
        var blocks: [JSON] = []
        for pod in pods {
            guard let container = try containers(of: pod, .one).first else { continue }
            var steps: [JSON] = []
            for round in 1...rounds {
                let number = "\(blocks.count + 1)-\(round)"
                steps.append([
                    "name": .string("kill-\(number)"), "fault": "container-kill",
                    "parameters": ["gracePeriod": .string(gracePeriod.text)],
                    "target": Self.target(pod, container), "agents": .array([.string(pod.node)]),
                    // It ends with the container.
                    "duration": .string((gracePeriod + .seconds(60)).text), "reason": .string("litmus \(name)"),
                ])
                steps.append(["name": .string("rest-\(number)"), "wait": "0s"])
                rests["rest-\(number)"] = { [self] recorder in
                    try recorder.whileInEffect {
                        if stop.wait(interval) { return nil }
                        try waitUntilReady(pod, container, atMost: patience)
                        return nil
                    }
                }
            }
            blocks.append(["name": .string("chaos-\(blocks.count + 1)"), "serial": .array(steps)])
        }
        return (try together(blocks), rests)
    }

    private func together(_ steps: [JSON]) throws -> JSON {
        guard steps.count <= Self.mostTargets else {
            throw LitmusError(.targets, "\(steps.count) targets are more than \(Self.mostTargets)")
        }
        return ["name": "chaos", (try isSerial ? "serial" : "parallel"): .array(steps)]
    }

    private static func target(_ pod: ClusterPod, _ container: String) -> JSON {
        [
            "pod": [
                "namespace": .string(pod.namespace), "name": .string(pod.name), "uid": .string(pod.uid),
                "container": .string(container),
            ]
        ]
    }

    private func containers(of pod: ClusterPod, _ choice: LitmusFault.Containers) throws -> [String] {
        let all = pod.containers.map(\.name)
        guard let first = all.first else { throw LitmusError(.targets, "pod \(pod.name) has no container") }
        guard let given = settings["TARGET_CONTAINER"] else { return [first] }
        let names: [String]
        switch choice {
        case .one: names = [given]
        case .several: names = given.lowercased() == "all" ? all : settings.list("TARGET_CONTAINER")
        }
        if let missing = names.first(where: { !all.contains($0) }) {
            throw LitmusError(.targets, "no container found with specified name: \(missing.cut(to: 63)) of \(pod.name)")
        }
        return names
    }

    /// What depends on the target.
    private func parameters(
        _ given: JSON, of fault: String, for container: String, of pod: ClusterPod
    ) throws -> JSON {
        guard fault == "disk-fill" else { return given }
        // Where kubelet counts it, and where every container has a directory.
        var members: [(String, JSON?)] = [("path", "/"), ("visible", true)]
        if let limit = pod.ephemeralStorageLimits[container] {
            members += [("percent", given["percent"]), ("of", "ephemeral-limit"), ("limit", .string(limit))]
        } else if let mebibytes = given["mebibytes"]?.integerValue, mebibytes > 0 {
            members.append(("size", .string("\(mebibytes)MiB")))
        } else {
            throw LitmusError(
                .targets,
                "either provide ephemeral storage limit of container \(container) of \(pod.name), or EPHEMERAL_STORAGE_MEBIBYTES"
            )
        }
        return .object(members)
    }

    // MARK: What is told

    /// Where no operator ends this program, an engine that is stopped does.
    private func watchEngine(until isOver: StopSignal) {
        guard let name = engine?["metadata"]?["name"]?.stringValue else { return }
        while !isOver.wait(Self.enginePause) {
            do throws(KubernetesError) {
                let engine = try client.get(
                    APIPath("/apis/litmuschaos.io/v1alpha1", "namespaces", namespace, "chaosengines", name))
                guard engine["spec"]?["engineState"]?.stringValue == "stop" else { continue }
            } catch {
                guard error.isNotFound else { continue }
            }
            return stop.stop(.interrupted)
        }
    }

    static func target(of name: String, _ kind: String, _ status: String) -> JSON {
        ["name": .string(name), "kind": .string(kind), "chaosStatus": .string(status)]
    }

    private func targets(of recorder: Recorder) -> [JSON] {
        var found = targeted.withLock { $0 }
        for session in recorder.document["sessions"]?.arrayValue ?? [] {
            guard let pod = session["target"]?["container"]?["pod"]?.stringValue else { continue }
            guard !found.contains(where: { $0["name"]?.stringValue == pod && $0["chaosStatus"] == "targeted" }) else {
                continue
            }
            if session["fault"]?.stringValue == "container-kill" {
                found.append(Self.target(of: pod, "pod", "targeted"))
                continue
            }
            let isBack = session["end"] != nil && session["revertVerified"]?.booleanValue == true
            let status = isBack ? "reverted" : "injected"
            if let place = found.firstIndex(where: { $0["name"]?.stringValue == pod }) {
                // Of several sessions the one that is not over counts.
                if !isBack { found[place] = Self.target(of: pod, "pod", status) }
            } else {
                found.append(Self.target(of: pod, "pod", status))
            }
        }
        return found
    }

    private static func unseen(_ probe: LitmusProbes.Probe) -> JSON {
        ChaosResult.status(of: probe, "N/A", "Either probe is not executed or not evaluated")
    }

    private func outcome(of recorder: Recorder, _ probes: [LitmusProbes.Probe]) -> ChaosResult.Outcome {
        let document = recorder.document
        let found = document["probes"]?.arrayValue ?? []
        var passed = 0
        var hasFailed = false
        var outcome = ChaosResult.Outcome()
        outcome.probes = probes.map { probe in
            let result = found.first { $0["name"]?.stringValue == probe.place }
            switch result?["verdict"]?.stringValue {
            case "Passed":
                passed += 1
                return ChaosResult.status(of: probe, "Passed", "Probe is passed")
            case "Failed":
                hasFailed = true
                return ChaosResult.status(of: probe, "Failed", result?["message"]?.stringValue ?? "")
            default: return Self.unseen(probe)
            }
        }
        outcome.percentage =
            probes.isEmpty ? (recorder.verdict == .pass ? 100 : 0) : passed * 100 / probes.count
        outcome.targets = targets(of: recorder)
        let leftover = recorder.notTakenBack
        let hasStopped = probes.contains { probe in
            let isFailed = found.contains { $0["name"]?.stringValue == probe.place && $0["verdict"] == "Failed" }
            return isFailed && probe.json["stopOnFailure"]?.booleanValue == true
        }
        switch recorder.verdict {
        case .pass: break
        case .stopped, .awaited: (outcome.phase, outcome.verdict) = ("Stopped", "Stopped")
        case .fail, .error:
            if stop.reason == .interrupted || hasStopped {
                (outcome.phase, outcome.verdict) = ("Stopped", "Stopped")
            } else if hasFailed, leftover.isEmpty {
                (outcome.phase, outcome.verdict) = ("Completed_With_Probe_Failure", "Fail")
            } else {
                (outcome.phase, outcome.verdict, outcome.percentage) = ("Error", "Error", 0)
                outcome.error = error(document["reason"]?.stringValue ?? "")
            }
        }
        return outcome
    }

    private func error(_ reason: String) -> LitmusError {
        let isCheck =
            reason.contains("the application is not well") || reason.contains("is not ready again")
        return LitmusError(isCheck ? .statusChecks : .injection, reason)
    }
}
