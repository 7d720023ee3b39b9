import AgentAPI
import AgentClient
import ChaosModel
import Dispatch
import LinuxSystem
import Synchronization

/// Opens a session and stays with it until it is over: renews its lease, looks at its effect, listens to what happens, and
/// ends it when the experiment stops.
final class SessionKeeper: Sendable {
    /// How long after its end a session may take to be undone, or its agent to be back.
    private static let patience = Duration.seconds(30)
    /// How long an agent that restarts is asked again to end a session.
    private static let endPatience = Duration.seconds(15)
    private static let pause = Duration.milliseconds(250)

    private let target: ChosenTarget
    private let request: FaultRequest
    private let step: String
    private let recorder: Recorder
    private let stop: StopSignal
    /// Whether the fault is to end before its time.
    private let isToEnd: @Sendable () -> Bool
    /// Answers before the lease lapses, or is given up.
    private let client: TenantClient
    private let interval: Duration
    private let listening = DispatchGroup()

    /// - Parameter count: How many sessions the step has: each asks its agent.
    init(
        _ target: ChosenTarget, _ request: FaultRequest, step: String, of count: Int, recorder: Recorder,
        stop: StopSignal, isToEnd: @escaping @Sendable () -> Bool
    ) {
        self.target = target
        self.request = request
        self.step = step
        self.recorder = recorder
        self.stop = stop
        self.isToEnd = isToEnd
        client = target.agent.client.within(max(request.lease / 4, .milliseconds(500)))
        interval = .seconds(max(1, count / 10))
    }

    /// - Returns: What was not as asked, but for what the experiment's stop brings with it: nil when all went well.
    func openAndHold(among muster: Muster) -> String? {
        // The lease counts from when the agent has the request.
        var renewed = BootInstant.now
        let report: JSON
        do {
            report = try open()
        } catch {
            noteWhatMayBeLeft(by: error)
            muster.arrive("\(target.words): \(error)")
            return "\(error)"
        }
        guard let id = report["id"]?.stringValue.flatMap({ SessionID($0) }) else {
            muster.arrive("\(target.words): the agent's report names no session")
            return "the agent's report names no session"
        }
        let place = recorder.began(session: report, step: step, agent: target.agent.name)
        listen(to: id, at: place)
        muster.arrive(nil)
        let givesUpAt = BootInstant.now + request.duration + Self.patience
        var current = report
        while current["state"]?.stringValue != "ended" {
            if stop.wait(wait(for: current)) || muster.refusal != nil || isToEnd() { return end(id, at: place) }
            if BootInstant.now > givesUpAt { return lost(place, "it is \(state(current)) still, long after its end") }
            do throws(TenantError) {
                let isDue = BootInstant.now - renewed >= request.lease / 3
                if isDue, current["lease"] != nil, current["remainingSeconds"] != nil {
                    let asked = BootInstant.now
                    try client.renew(.session(id))
                    renewed = asked
                }
                current = try client.body(of: .read(.session(id)))
                recorder.update(place, current)
            } catch {
                if error.code == ProblemCode.sessionEnded.rawValue {
                    renewed = .now
                    continue
                }
                // An agent that restarts takes the session back, and tells of it.
                guard error.mayPass else { return lost(place, "\(error)") }
            }
        }
        return over(current, at: place)
    }

    /// What could not be put in force is taken back by the agent before it says so, unless that fails; and what was asked for
    /// without an answer may be in force.
    private func noteWhatMayBeLeft(by error: any Error) {
        switch error as? TenantError {
        case .refused(let answer):
            guard let id = answer.body["session"]?.stringValue.flatMap({ SessionID($0) }),
                let report = try? client.body(of: .read(.session(id)))
            else { return }
            let place = recorder.began(session: report, step: step, agent: target.agent.name)
            recorder.ended(place, report, isTakenBack: Self.isTakenBack(report))
        case .unreached(let unreached):
            guard unreached.mayHaveBeenHeard else { return }
            let place = recorder.began(
                session: [
                    "summary": .string("\(request.fault), without an answer"), "target": target.plan["target"] ?? [:],
                ],
                step: step, agent: target.agent.name)
            recorder.ended(place, nil, isTakenBack: false)
        case .unsigned, nil: return
        }
    }

    private func open() throws -> JSON {
        let injection = request.injection(of: .one(target.selector))
        let givesUpAt = BootInstant.now + Self.endPatience
        while true {
            // Whoever is told to stop meanwhile begins nothing.
            guard stop.reason == nil else { throw StepFailure("the experiment stops") }
            do throws(TenantError) {
                return try target.agent.client.inject(injection)
            } catch {
                // Nothing was begun: the agent has too much to do just now.
                guard case .refused = error, error.mayPass, BootInstant.now < givesUpAt else { throw error }
                stop.wait(.seconds(1))
            }
        }
    }

    private func wait(for report: JSON) -> Duration {
        let remaining = report["remainingSeconds"]?.doubleValue ?? 0
        let untilEnd = Duration.seconds(min(max(remaining, 0), 86400)) + .milliseconds(50)
        return min(interval, request.lease / 4, max(untilEnd, Self.pause))
    }

    private func state(_ report: JSON) -> String { report["state"]?.stringValue ?? "there" }

    /// What the agent tells of it, as it happens, for as long as that takes.
    private func listen(to id: SessionID, at place: Int) {
        // Each stream takes one of the connections that an agent lets a client have: the others are read when they are over.
        guard recorder.mayListen(to: target.agent.name) else { return }
        inBackground(listening) { [self] in
            hear(id, at: place)
            recorder.hasListened(to: target.agent.name)
        }
    }

    private func hear(_ id: SessionID, at place: Int) {
        do throws(TenantError) {
            try target.agent.client.events(of: id) { recorder.heard(place, $0) }
            recorder.heardAll(place)
        } catch {
            // Then how it ended is told by its report; its events are missing, and whoever counts them is told.
            return
        }
    }

    private func end(_ id: SessionID, at place: Int) -> String? {
        let givesUpAt = BootInstant.now + Self.endPatience
        while true {
            do throws(TenantError) {
                let report = try target.agent.client.body(of: .end(.session(id)))
                let objection = over(report, at: place)
                return Self.isTakenBack(report) ? nil : objection
            } catch {
                if error.mayPass, BootInstant.now < givesUpAt {
                    Thread.sleep(.seconds(1))
                    continue
                }
                return lost(place, "it could not be told to end: \(error)")
            }
        }
    }

    private func lost(_ place: Int, _ reason: String) -> String {
        recorder.ended(place, nil, isTakenBack: false)
        return "\(target.words): \(reason); it reverts by itself, by its lease or deadline"
    }

    private func over(_ report: JSON, at place: Int) -> String? {
        // Its stream ends with it.
        _ = listening.wait(timeout: .now() + 3)
        if !recorder.hasHeardAll(place), report["state"]?.stringValue == "ended",
            let id = report["id"]?.stringValue.flatMap({ SessionID($0) })
        {
            inBackground(listening) { [self] in hear(id, at: place) }
            _ = listening.wait(timeout: .now() + 5)
        }
        let isTakenBack = Self.isTakenBack(report)
        recorder.ended(place, report, isTakenBack: isTakenBack)
        guard isTakenBack else { return "\(target.words): not everything was taken back" }
        let ending = report["ending"]?.stringValue ?? ""
        return [Ending.expired, .completed].contains { $0.rawValue == ending }
            ? nil : "\(target.words): it ended early: \(ending)"
    }

    /// What cannot be taken back at all, as a signal, is as it was asked for.
    private static func isTakenBack(_ report: JSON) -> Bool {
        if report["revertVerified"]?.booleanValue == true { return true }
        return report["state"]?.stringValue == "ended"
            && (report["steps"]?.arrayValue ?? []).allSatisfy { step in
                ["restored", "already-restored", "irreversible"].contains(
                    step["undo"]?["outcome"]?.stringValue ?? "restored")
            }
    }
}

/// Where those who do something together wait for each other: all, or none.
final class Muster: Sendable {
    private let first = Mutex<String?>(nil)
    private let group = DispatchGroup()

    init(of count: Int) { for _ in 0..<count { group.enter() } }

    /// - Parameter refusal: Why the one that arrives cannot do it.
    func arrive(_ refusal: String?) {
        if let refusal { first.withLock { $0 = $0 ?? refusal } }
        group.leave()
    }

    /// Why it is not done.
    var refusal: String? { first.withLock { $0 } }

    func waitForAll() { group.wait() }
}
