package import ChaosModel
import Dispatch
package import ExperimentModel
import LinuxSystem
import Synchronization

/// What has happened so far, as the report tells it. Anybody may add to it, from any thread.
package final class Recorder: Sendable {
    package enum StepState: String, Sendable {
        case awaited, running, succeeded, failed, stopped, skipped
    }

    /// A line for whoever watches.
    package typealias Listener = @Sendable (_ offset: Double, _ subject: String, _ words: String) -> Void

    private struct Step {
        let name: String
        let kind: String
        let parent: String?
        var state = StepState.awaited
        var begin: Double?
        var end: Double?
        var message: String?
        var output: JSON?
        var chosen: JSON?
    }

    private struct Session {
        let id: String
        let step: String
        let agent: String
        let begin: Double
        var report: JSON
        var end: Double?
        var isTakenBack = false
        var events: [JSON] = []
        /// By kind, those that are not kept too.
        var counts: [String: Int] = [:]
        /// Of the last one heard; -1 before the first.
        var sequence: Int64 = -1
        var hasGap = false
        /// All that there are.
        var hasEvents = false
        var effects: [JSON] = []
    }

    private struct Runs {
        var passed = 0
        var failed = 0
        var runs: [JSON] = []
        var firstFailure: String?
    }

    private struct State {
        var steps: [Step]
        var sessions: [Session] = []
        var probes: [String: Runs] = [:]
        var timeline: [JSON] = []
        var active = 0
        /// Streams of each agent.
        var listeners: [String: Int] = [:]
        var end: Double?
        var reason: String?
        var verdict: Verdict?
        var isComplete = false
    }

    /// Litmus's words.
    package enum Verdict: String, CaseIterable, Sendable {
        case awaited = "Awaited"
        case pass = "Pass"
        case fail = "Fail"
        case stopped = "Stopped"
        /// It could not be carried out as it is written.
        case error = "Error"
    }

    private static let mostRuns = 2000
    private static let mostEffects = 1000
    private static let mostNumbers = 12
    private static let mostSteps = 16
    private static let mostEvents = 512
    private static let mostListeners = 16
    private static let mostLines = 5000

    package let id: String
    package let seed: Int64
    private let experiment: Experiment
    private let inputs: JSON
    private let startedAt: BootInstant
    private let wallStart: Int64
    private let listener: Listener
    private let state: Mutex<State>

    package init(_ experiment: Experiment, id: String, seed: Int64, inputs: JSON, listener: @escaping Listener) {
        self.experiment = experiment
        self.id = id
        self.seed = seed
        self.inputs = inputs
        self.listener = listener
        startedAt = .now
        wallStart = wallMilliseconds()
        state = Mutex(State(steps: Self.steps(experiment.steps, in: nil)))
    }

    private static func steps(_ steps: [ExperimentStep], in parent: String?) -> [Step] {
        steps.flatMap { step in
            let own = [Step(name: step.name, kind: step.kind, parent: parent)]
            switch step.action {
            case .parallel(let inner), .serial(let inner): return own + Self.steps(inner, in: step.name)
            case .fault, .script, .wait, .probe, .end, .deletePods, .http: return own
            }
        }
    }

    /// Seconds since the experiment began.
    var now: Double { Self.rounded((BootInstant.now - startedAt).seconds) }

    private static func rounded(_ seconds: Double) -> Double { (seconds * 1000).rounded() / 1000 }

    // MARK: What happens

    package func tell(_ subject: String, _ words: String) {
        let now = now
        state.withLock { state in
            guard state.timeline.count < Self.mostLines else { return }
            state.timeline.append(["at": .number(now), "subject": .string(subject), "message": .string(words)])
        }
        listener(now, subject, words)
    }

    func step(_ name: String, is newState: StepState, message: String? = nil) {
        let now = now
        change(step: name) { step in
            step.state = newState
            if newState == .running { step.begin = now } else { step.end = now }
            step.message = message ?? step.message
        }
        let words = message.map { ": \($0)" } ?? ""
        tell("step \(name)", newState.rawValue + words)
    }

    func step(_ name: String, said output: JSON) { change(step: name) { $0.output = output } }

    func step(_ name: String, chose targets: JSON) { change(step: name) { $0.chosen = targets } }

    private func change(step name: String, _ body: (inout Step) -> Void) {
        state.withLock { state in
            guard let index = state.steps.firstIndex(where: { $0.name == name }) else { return }
            body(&state.steps[index])
        }
    }

    /// - Returns: Where it is recorded.
    func began(session report: JSON, step: String, agent: String) -> Int {
        let id = (report["id"]?.stringValue ?? "").cut(to: 64)
        let session = Session(id: id, step: step, agent: agent, begin: now, report: report)
        let place = state.withLock { state in
            state.sessions.append(session)
            state.active += 1
            return state.sessions.count - 1
        }
        tell(
            "session \(id)",
            "\(report["summary"]?.stringValue ?? "in effect"), on \(TargetFacts.word(report["target"]) ?? "the target") of \(agent)"
        )
        return place
    }

    func update(_ place: Int, _ report: JSON) {
        let now = now
        state.withLock { state in
            state.sessions[place].report = report
            for (index, step) in (report["steps"]?.arrayValue ?? []).prefix(Self.mostSteps).enumerated() {
                let numbers = (step["effect"]?.members ?? []).filter { $0.value.doubleValue != nil }.prefix(
                    Self.mostNumbers)
                guard !numbers.isEmpty, state.sessions[place].effects.count < Self.mostEffects else { continue }
                state.sessions[place].effects.append(
                    .object([.init("at", .number(now)), .init("step", .integer(Int64(index)))] + numbers))
            }
        }
    }

    func heard(_ place: Int, _ event: JSON) {
        state.withLock { state in
            // A stream that is read anew begins with those of old; those of an agent that was restarted begin at 0 again.
            let sequence = event["sequence"]?.integerValue ?? -1
            if sequence <= state.sessions[place].sequence, sequence > 0 || state.sessions[place].counts.isEmpty {
                return
            }
            if sequence == 0, !state.sessions[place].counts.isEmpty { return }
            if sequence > state.sessions[place].sequence + 1 { state.sessions[place].hasGap = true }
            state.sessions[place].sequence = sequence
            state.sessions[place].counts[event["kind"]?.stringValue ?? "", default: 0] += 1
            guard state.sessions[place].events.count < Self.mostEvents else { return }
            state.sessions[place].events.append(event)
        }
    }

    func heardAll(_ place: Int) { state.withLock { $0.sessions[place].hasEvents = !$0.sessions[place].hasGap } }

    func hasHeardAll(_ place: Int) -> Bool { state.withLock { $0.sessions[place].hasEvents } }

    /// Whether there is room for another stream of this agent.
    func mayListen(to agent: String) -> Bool {
        state.withLock { state in
            guard state.listeners[agent, default: 0] < Self.mostListeners else { return false }
            state.listeners[agent, default: 0] += 1
            return true
        }
    }

    func hasListened(to agent: String) { state.withLock { $0.listeners[agent, default: 1] -= 1 } }

    /// - Parameter report: Nil when nobody could be asked any more.
    func ended(_ place: Int, _ report: JSON?, isTakenBack: Bool) {
        let now = now
        let words: String? = state.withLock { state in
            guard state.sessions[place].end == nil else { return nil }
            state.active -= 1
            state.sessions[place].end = now
            state.sessions[place].isTakenBack = isTakenBack
            if let report { state.sessions[place].report = report }
            let told = state.sessions[place].report
            let how = report == nil ? "lost" : told["ending"]?.stringValue ?? told["state"]?.stringValue ?? "over"
            return how + (told["revertVerified"]?.booleanValue == true ? ", everything taken back and verified" : "")
        }
        if let words { tell("session \(state.withLock { $0.sessions[place].id })", words) }
    }

    /// How many sessions of a step are in effect.
    func active(of step: String) -> Int {
        state.withLock { $0.sessions.count { $0.step == step && $0.end == nil } }
    }

    /// The sessions of which nobody can say that they are taken back.
    package var notTakenBack: [String] {
        state.withLock { $0.sessions.filter { !$0.isTakenBack }.map { "\($0.id) of \($0.agent)" } }
    }

    /// How many sessions are in effect, and things that own actions do.
    var active: Int { state.withLock { $0.active } }

    /// Says that something is in effect that is no session, for as long as the body takes.
    package func whileInEffect<Result>(_ body: () throws -> Result) rethrows -> Result {
        state.withLock { $0.active += 1 }
        defer { state.withLock { $0.active -= 1 } }
        return try body()
    }

    /// - Returns: Nil when an agent could not be heard to the end of a session that is over.
    func events(ofKind kind: String) -> Int? {
        state.withLock { state in
            guard state.sessions.allSatisfy({ $0.end == nil || $0.hasEvents }) else { return nil }
            return state.sessions.reduce(0) { $0 + $1.counts[kind, default: 0] }
        }
    }

    func ran(_ probe: Probe, _ run: ProbeRun) {
        let now = now
        let isNews = state.withLock { state in
            var runs = state.probes[probe.name] ?? Runs()
            let isNews =
                runs.passed + runs.failed == 0 || (run.objection != nil) != (runs.runs.last?["passed"] == false)
            if run.objection == nil { runs.passed += 1 } else { runs.failed += 1 }
            runs.firstFailure = runs.firstFailure ?? run.objection
            if runs.runs.count < Self.mostRuns {
                runs.runs.append(
                    .object([
                        ("at", .number(now)), ("phase", .string(run.phase)),
                        ("passed", .boolean(run.objection == nil)),
                        ("seconds", .number(Self.rounded(run.duration.seconds))),
                        ("value", run.value.map { .string($0.cut(to: 256)) }),
                        ("number", run.value.flatMap { Double($0) }.flatMap { $0.isFinite ? .number($0) : nil }),
                        ("message", run.objection.map(JSON.string)),
                    ]))
            }
            state.probes[probe.name] = runs
            return isNews
        }
        if isNews { tell("probe \(probe.name)", run.objection.map { "failed: \($0)" } ?? "passed") }
    }

    func hasRun(_ probe: Probe) -> Bool { state.withLock { $0.probes[probe.name] != nil } }

    /// Whether every step was gone through and every probe looked at: only then the score says something.
    package var isComplete: Bool { state.withLock { $0.isComplete } }

    func complete() { state.withLock { $0.isComplete = true } }

    /// Whether this step is over.
    func isOver(_ step: String) -> Bool { state.withLock { $0.steps.first { $0.name == step }?.end != nil } }

    /// Nil when it has not failed.
    func firstFailure(of probe: Probe) -> String? { state.withLock { $0.probes[probe.name]?.firstFailure } }

    func context() -> JSON {
        state.withLock { state in
            let steps = state.steps.filter { $0.begin != nil }.map { step in
                JSON.Member(
                    step.name,
                    .object([
                        ("state", .string(step.state.rawValue)), ("output", step.output),
                        ("targets", step.chosen),
                        (
                            "sessions",
                            .array(state.sessions.filter { $0.step == step.name }.map { .string($0.id) })
                        ),
                    ]))
            }
            return [
                "experiment": [
                    "id": .string(id), "name": .string(experiment.name), "seed": .integer(seed),
                ],
                "inputs": inputs, "steps": .object(steps),
            ]
        }
    }

    func end(_ given: Verdict, reason cause: String?) {
        let left = notTakenBack
        let complaint = left.isEmpty ? nil : "not taken back for certain: \(left.joined(separator: ", "))"
        let verdict = (given == .pass || given == .fail) && !left.isEmpty ? .error : given
        let parts = [cause, complaint].compactMap(\.self)
        let reason = parts.isEmpty ? nil : parts.joined(separator: "; ")
        let now = now
        state.withLock { state in
            state.end = now
            state.verdict = verdict
            state.reason = reason
            for index in state.steps.indices where state.steps[index].state == .awaited {
                state.steps[index].state = .skipped
            }
        }
        tell("experiment", verdict.rawValue + (reason.map { ": \($0)" } ?? ""))
    }

    // MARK: The document

    package var verdict: Verdict { state.withLock { $0.verdict } ?? .awaited }

    /// The weighted share of probes that passed, in percent; nil where there is none.
    package var score: Double? {
        state.withLock { state in
            let weights = experiment.probes.map(\.weight).reduce(0, +)
            guard weights > 0 else { return nil }
            let passed = experiment.probes.filter { Self.verdict(of: state.probes[$0.name]) == "Passed" }
            return (passed.map(\.weight).reduce(0, +) / weights * 1000).rounded() / 10
        }
    }

    private static func verdict(of runs: Runs?) -> String {
        guard let runs else { return "N/A" }
        return runs.failed == 0 ? "Passed" : "Failed"
    }

    /// What a report is made from. Seconds are counted from `startedAt`.
    package var document: JSON {
        let score = score
        let verdict = verdict
        return state.withLock { state in
            let probes: [JSON] = experiment.probes.map { probe in
                let runs = state.probes[probe.name]
                return .object([
                    ("name", .string(probe.name)), ("kind", .string(probe.kindWord)),
                    ("mode", .string(probe.mode.rawValue)), ("weight", .number(probe.weight)),
                    ("expect", probe.expectation.map { .string($0.words) }),
                    ("verdict", .string(verdict == .awaited && runs == nil ? "Awaited" : Self.verdict(of: runs))),
                    ("passed", .integer(Int64(runs?.passed ?? 0))), ("failed", .integer(Int64(runs?.failed ?? 0))),
                    ("message", runs?.firstFailure.map(JSON.string)), ("runs", .array(runs?.runs ?? [])),
                ])
            }
            let steps: [JSON] = state.steps.map { step in
                .object([
                    ("name", .string(step.name)), ("kind", .string(step.kind)),
                    ("parent", step.parent.map(JSON.string)),
                    ("state", .string(step.state.rawValue)), ("begin", step.begin.map(JSON.number)),
                    ("end", step.end.map(JSON.number)), ("message", step.message.map(JSON.string)),
                    ("output", step.output), ("targets", step.chosen),
                ])
            }
            let sessions: [JSON] = state.sessions.map { session in
                .object([
                    ("id", .string(session.id)), ("step", .string(session.step)), ("agent", .string(session.agent)),
                    ("fault", session.report["fault"]), ("summary", session.report["summary"]),
                    ("target", session.report["target"]), ("begin", .number(session.begin)),
                    ("end", session.end.map(JSON.number)), ("state", session.report["state"]),
                    ("ending", session.report["ending"]), ("revertVerified", session.report["revertVerified"]),
                    ("events", .array(session.events)), ("effects", .array(session.effects)),
                ])
            }
            return .object([
                ("apiVersion", .string(Experiment.apiVersion)), ("kind", "ExperimentResult"), ("id", .string(id)),
                (
                    "experiment",
                    .object([
                        ("name", .string(experiment.name)), ("description", experiment.description.map(JSON.string)),
                        ("hypothesis", experiment.hypothesis.map(JSON.string)),
                        ("labels", .object(experiment.labels.map { JSON.Member($0.name, .string($0.value)) })),
                    ])
                ),
                ("startedAt", .string(wallTimestamp(wallStart))), ("seconds", .number(state.end ?? now)),
                ("verdict", .string(verdict.rawValue)), ("reason", state.reason.map(JSON.string)),
                ("score", score.map(JSON.number)), ("seed", .integer(seed)), ("inputs", inputs),
                ("probes", .array(probes)), ("steps", .array(steps)), ("sessions", .array(sessions)),
                ("timeline", .array(state.timeline)),
            ])
        }
    }
}

/// How a probe went.
struct ProbeRun: Sendable {
    let phase: String
    let duration: Duration
    let value: String?
    /// Nil when it passed.
    let objection: String?
}
