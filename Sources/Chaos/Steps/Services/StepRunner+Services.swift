import Cgroups
import ChaosModel
import DeadMan
import Dispatch
import Glibc
import LinuxSystem
import Systemd
import Targets

extension StepRunner {
    /// By what a unit takes others with it when it stops, and by what it is started again (systemd.unit(5)).
    private static let stoppingWithIt = ["RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "PropagatesStopTo"]
    private static let startingIt = ["TriggeredBy", "UpheldBy"]
    private static let mostDependents = 128

    /// - Parameter staysStopped: For as long as the session lasts.
    func prepareService(_ unit: String, staysStopped: Bool) throws(Problem) -> FoundService {
        guard systemd.isThere else {
            throw Problem(
                .targetRefused, "the node's systemd, which \(unit) is a unit of, cannot be told from here",
                field: "target", hint: "run the agent as the host's own service")
        }
        guard !isHandled(unit) else {
            throw Problem(
                .targetBusy, "another session has \(unit) stopped or restarted", field: "target",
                hint: "wait until it has ended")
        }
        let service: FoundService
        var obstacle: Obstacle?
        do throws(SystemdError) {
            let found = try systemd.unitProperties(Self.askedBefore + Self.startingIt, of: unit)
            obstacle = Self.obstacle(to: found, of: unit)
            if obstacle == nil, found["CanStop"] == ["no"] { obstacle = Self.byHand(unit) }
            if obstacle == nil, staysStopped { obstacle = try obstacleToStaying(found, of: unit) }
            let dependents = try dependents(of: unit)
            service = FoundService(
                unit: unit, run: found["InactiveExitTimestampMonotonic"]?.first ?? "", dependents: dependents)
            for one in dependents where obstacle == nil && dependents.count <= Self.mostDependents {
                let found = try systemd.unitProperties(Self.askedBefore + Self.takingHostDown, of: one)
                obstacle =
                    Self.obstacle(to: found, of: one) ?? Self.downfall(found, of: one)
                    ?? (staysStopped ? Self.transient(found, one) : nil)
            }
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        if let obstacle { throw Problem(.targetRefused, obstacle.reason, field: "target", hint: obstacle.hint) }
        if let own = try? cgroups.cgroup(ofProcess: getpid()).path.split(separator: "/").map(String.init),
            let part = service.dependents.first(where: own.contains)
        {
            throw Problem(.targetRefused, "systemd would stop this agent, \(part), with \(unit)", field: "target")
        }
        guard service.dependents.count <= Self.mostDependents else {
            throw Problem(
                .targetRefused, "systemd would stop \(service.dependents.count) units with \(unit)", field: "target",
                hint: "\(Self.mostDependents) are the most")
        }
        return service
    }

    /// - Throws: `target-refused` for a service at whose end systemd takes the host down: no fault may be a way to that.
    func refuseToTakeHostDown(with target: ResolvedTarget) throws(Problem) {
        // On version 1, too.
        guard case .service(let service) = target.facts.cgroup.place(in: .unified), systemd.isThere else { return }
        let found: [String: [String]]
        do throws(SystemdError) {
            found = try systemd.unitProperties(Self.takingHostDown, of: service)
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        if let downfall = Self.downfall(found, of: service) {
            throw Problem(.targetRefused, downfall.reason, field: "target", hint: downfall.hint)
        }
    }

    /// What systemd does when a unit ends, fails, or is started too often (systemd.unit(5)).
    private static let actionsAtEnd = ["SuccessAction", "FailureAction", "StartLimitAction", "JobTimeoutAction"]
    private static let unitsAtEnd = ["OnSuccess", "OnFailure"]
    private static let takingHostDown = actionsAtEnd + unitsAtEnd
    /// Without their suffixes (systemd.special(7)).
    private static let downfalls: Set = [
        "reboot", "poweroff", "halt", "kexec", "soft-reboot", "exit", "shutdown", "emergency", "rescue",
        "ctrl-alt-del",
    ]

    private static func downfall(_ found: [String: [String]], of unit: String) -> Obstacle? {
        let action = actionsAtEnd.first { name in found[name].map { $0 != ["none"] && $0 != [""] } ?? false }
        let started = unitsAtEnd.first { name in
            (found[name] ?? []).contains { other in
                let stem = other.hasPrefix("systemd-") ? other.dropFirst("systemd-".count) : other[...]
                return downfalls.contains(String(stem.prefix { $0 != "." }))
            }
        }
        guard let setting = action ?? started else { return nil }
        return (
            "systemd may take the host down when \(unit) ends (\(setting)=\(found[setting]?.joined(separator: " ") ?? ""))",
            "see to its file; host-reboot and host-power-off do it where the policy allows that"
        )
    }

    private typealias Obstacle = (reason: String, hint: String)

    private static let askedBefore = [
        "LoadState", "ActiveState", "FreezerState", "CanStart", "CanStop", "Transient", "Job",
        "InactiveExitTimestampMonotonic",
    ]

    /// Of the service, and of each that is stopped with it: all of them are to be started again.
    private static func obstacle(to found: [String: [String]], of unit: String) -> Obstacle? {
        if found["ActiveState"] != ["active"] || found["Job"] != ["0"] {
            let state = found["ActiveState"]?.first ?? "unknown"
            return (
                "\(unit) is \(state == "active" ? "about to be stopped or started" : state)", "wait until it is active"
            )
        }
        if let state = found["FreezerState"]?.first, state != "running" {
            return ("\(unit) is \(state), and systemd does not stop what is frozen", "wait until that is over")
        }
        if found["LoadState"] != ["loaded"] {
            let state = found["LoadState"]?.first ?? "unknown"
            return ("\(unit) could not be started again: it is \(state)", "see to its file")
        }
        return found["CanStart"] == ["no"] ? byHand(unit) : nil
    }

    private static func byHand(_ unit: String) -> Obstacle {
        (
            "\(unit) is not to be stopped or started by hand, as it says itself (RefuseManualStop, RefuseManualStart)",
            "process-signal and container-pause do not ask"
        )
    }

    private static func transient(_ found: [String: [String]], _ unit: String) -> Obstacle? {
        guard found["Transient"] == ["yes"] else { return nil }
        return ("\(unit) is transient: systemd forgets it when it is stopped", "make it a unit with a file")
    }

    private func obstacleToStaying(
        _ found: [String: [String]], of unit: String
    ) throws(SystemdError) -> Obstacle? {
        if let obstacle = Self.transient(found, unit) { return obstacle }
        for starter in Self.startingIt.flatMap({ found[$0] ?? [] }) where try !standing(of: starter).isInactive {
            return (
                "\(unit) would not stay stopped: \(starter) is active, and starts it again",
                "stop \(starter) first, or stop its processes where they are, with container-pause"
            )
        }
        return nil
    }

    /// What is active, or on its way, of all that depends on a unit, by however many others. What depends on an inactive one is
    /// stopped too.
    private func dependents(of unit: String) throws(SystemdError) -> [String] {
        var (seen, active, next): (Set<String>, [String], [String]) = ([unit], [], [unit])
        while let one = next.popLast(), active.count <= Self.mostDependents, seen.count <= 4 * Self.mostDependents {
            let lists = try systemd.unitProperties(Self.stoppingWithIt, of: one)
            for other in Set(lists.values.joined()).sorted() where seen.insert(other).inserted {
                next.append(other)
                let standing = try standing(of: other)
                if !standing.isInactive || standing.hasJob { active.append(other) }
            }
        }
        return active
    }

    private func standing(of unit: String) throws(SystemdError) -> UnitStanding {
        // In this order: what there is after a job that has ended is what the job has led to.
        let found = try systemd.unitProperties(["Job", "ActiveState", "InactiveExitTimestampMonotonic"], of: unit)
        return UnitStanding(
            state: found["ActiveState"]?.first ?? "", run: found["InactiveExitTimestampMonotonic"]?.first ?? "",
            hasJob: found["Job"] != ["0"])
    }

    private func isHandled(_ unit: String) -> Bool {
        services.values.contains { $0.service.units.contains(unit) }
    }
}

// MARK: - Doing it

extension StepRunner {
    /// How long a session waits for systemd to be done before its fault counts as being in effect.
    private static let servicePatience = Duration.seconds(5)
    private static let servicePause = Duration.milliseconds(50)
    /// The same after a question that was not answered, which has held everybody up for a second.
    private static let silencePause = Duration.seconds(2)

    /// Returns when the service has stopped, or when that takes long.
    func stopService(_ service: FoundService, as key: WorkerKey, until deadline: BootInstant) async throws(StepError) {
        let order = try begin(service, as: key)
        var program = DeadMansProgram()
        for unit in service.units { program.callSystemd(SystemdManager.starting(unit).bytes(serial: 1)) }
        order.slot = try entrust(program, tag: key.serviceTag, files: [], overdue: deadline + Self.grace)
        order.isGiven = true
        try asked { () throws(SystemdError) in try systemd.stop(service.unit) }
        let limit = min(deadline, .now + Self.servicePatience)
        repeat {
            // It may be busy with itself, as when it is told to reload its files.
            guard let now = try? standing(of: service.unit) else {
                await pause(Self.silencePause)
                continue
            }
            if now.isInactive {
                order.stoppedAt = Self.monotonicMicroseconds
                break
            }
            if now.isActive, !now.hasJob { throw StepError("\(service.unit) was started again at once") }
            await pause(Self.servicePause)
        } while .now < limit
        // This may have been held up until it was overdue, and started before it was stopped.
        guard claim(order), handOver(order) else { throw StepError("the session's time is over") }
    }

    /// Returns when the service is active again, or when that takes long. That it is, or why it is not, is news.
    func restartService(
        _ service: FoundService, as key: WorkerKey, until deadline: BootInstant,
        news: @escaping @Sendable (StepNews) -> Void
    ) async throws(StepError) {
        let order = try begin(service, as: key)
        order.isGiven = true
        try asked { () throws(SystemdError) in try systemd.restart(service.unit) }
        // To be told before the session's time is over.
        let end = deadline + Self.servicePause * -4
        order.restart = Task {
            let outcome = await outcomeOfRestart(service, before: end)
            order.restart = nil
            if !Task.isCancelled { news(outcome) }
        }
        let limit = min(end, .now + Self.servicePatience)
        while order.restart != nil, .now < limit { await pause(Self.servicePause) }
    }

    private func outcomeOfRestart(_ service: FoundService, before end: BootInstant) async -> StepNews {
        while !Task.isCancelled, .now < end {
            let now = try? standing(of: service.unit)
            if let now, !now.hasJob {
                if now.isActive, now.run != service.run { return .completed }
                if now.isInactive { return .stopFailed(notStarted(service.unit)) }
            }
            await pause(now == nil ? Self.silencePause : Self.servicePause)
        }
        return .stopFailed("\(service.unit) is not active again in time")
    }

    /// - Throws: When another step has it in hand, or it is not what it was.
    private func begin(_ service: FoundService, as key: WorkerKey) throws(StepError) -> ServiceOrder {
        // Without an order of its own, nothing is taken back for it.
        if let handled = service.units.first(where: isHandled) {
            throw StepError("another session has \(handled) stopped or restarted")
        }
        let order = ServiceOrder(service)
        services[key] = order
        let now = try asked { () throws(SystemdError) in try standing(of: service.unit) }
        guard now.isActive, now.isSettled, now.run == service.run else {
            throw StepError("\(service.unit) was stopped or restarted meanwhile")
        }
        let others = try asked { () throws(SystemdError) in try dependents(of: service.unit) }
        if let new = others.first(where: { !service.dependents.contains($0) }) {
            throw StepError("systemd would stop \(new), too, by now")
        }
        return order
    }

    private func asked<Answer>(_ question: () throws(SystemdError) -> Answer) throws(StepError) -> Answer {
        do throws(SystemdError) {
            return try question()
        } catch {
            throw StepError("\(error)")
        }
    }

    private func notStarted(_ unit: String) -> String {
        let result = try? systemd.serviceProperty("Result", of: unit)
        return "systemd could not start \(unit) again\(result.map { ": the result is \($0)" } ?? "")"
    }

    func pause(_ duration: Duration) async {
        await withCheckedContinuation { continuation in
            executor.queue.asyncAfter(deadline: .now() + duration.seconds) { continuation.resume() }
        }
    }
}

// MARK: - Taking it back

extension StepRunner {
    /// How long what is started may take before that is told as a failure. It is looked at again all the same.
    private static let startPatience = Duration.seconds(20)
    /// What says that somebody wants a unit never to be started.
    private static let neverToStart = ["UnitMasked", "NoSuchUnit"].map { "org.freedesktop.systemd1.\($0)" }

    func startService(as key: WorkerKey) -> UndoProgress {
        // It was never begun.
        guard let order = services[key] else { return .done(.alreadyRestored) }
        let progress: UndoProgress
        do throws(SystemdError) {
            progress = try start(order)
        } catch {
            let since = order.askedSince ?? .now
            order.askedSince = since
            // As when it reads its files again, or begins anew.
            if error.mayPass, .now - since < Self.startPatience {
                return .unfinished(callAgainAfter: .milliseconds(250))
            }
            order.askedSince = nil
            return .done(.failed("\(error)"))
        }
        order.askedSince = nil
        switch progress {
        case .done(.failed), .unfinished: break
        case .done:
            services[key] = nil
            letGo(order)
        }
        return progress
    }

    private func start(_ order: ServiceOrder) throws(SystemdError) -> UndoProgress {
        guard order.isGiven || order.isLeft else { return .done(.alreadyRestored) }
        guard let since = order.startingSince else {
            if claim(order) {
                guard try startWhatIsStopped(order) else { return .done(.alreadyRestored) }
                letGo(order)
                order.startingSince = .now
            }
            return .unfinished(callAgainAfter: .milliseconds(1))
        }
        for unit in order.service.units where order.leftAlone[unit] == nil {
            let now = try standing(of: unit)
            if now.isActive { continue }
            // It had nothing to do by now, and says that all is well: what depends on the service may be such.
            if unit != order.service.unit, now.isInactive, !now.hasJob, order.started.contains(unit),
                try systemd.unitProperty("ConditionResult", of: unit) == "no"
            {
                continue
            }
            let isOnItsWay = now.hasJob || !now.isInactive
            if isOnItsWay, .now - since < Self.startPatience {
                return .unfinished(callAgainAfter: Self.servicePause)
            }
            order.startingSince = nil
            return .done(
                .failed(
                    isOnItsWay
                        ? "\(unit) is still \(now.state) after \(Self.startPatience.text)" : notStarted(unit)))
        }
        let found = order.leftAlone.values.sorted().joined(separator: "; ")
        if !found.isEmpty { return .done(.drifted(found: found)) }
        return .done(order.started.isEmpty ? .alreadyRestored : .restored)
    }

    /// - Returns: False when nothing had been stopped.
    /// - Throws: Why one cannot be started. The others are, all the same.
    private func startWhatIsStopped(_ order: ServiceOrder) throws(SystemdError) -> Bool {
        var wasStopped = false
        var failure: SystemdError?
        for unit in order.service.units {
            let now = try standing(of: unit)
            let isUp = now.isActive || now.state == "activating"
            if unit == order.service.unit, isUp, now.run != order.service.run {
                // What an earlier engine had stopped, that or the dead-man's process may have started.
                if !order.isLeft, !order.started.contains(unit) {
                    order.leftAlone[unit] = "somebody else has started \(unit)"
                }
                wasStopped = true
                continue
            }
            // With a job it is about to be stopped.
            if isUp, !now.hasJob {
                // What depends on it stops first: that may be as far as it came. Of an earlier engine's nobody knows who did it.
                if unit == order.service.unit, order.isLeft { return false }
                continue
            }
            wasStopped = true
            // Of what it has let go of it remembers no starts, and refuses this.
            try? systemd.resetFailed(unit)
            do throws(SystemdError) {
                try systemd.start(unit)
                order.started.insert(unit)
            } catch {
                guard case .refused(let name, let words) = error, Self.neverToStart.contains(name) else {
                    failure = failure ?? error
                    continue
                }
                order.leftAlone[unit] = words
            }
        }
        if let failure { throw failure }
        return wasStopped
    }

    /// A restart cannot be taken back. Its end is not waited for any more.
    func endRestart(_ key: WorkerKey) -> UndoOutcome {
        guard let order = services.removeValue(forKey: key) else { return .alreadyRestored }
        order.restart?.cancel()
        return order.isGiven || order.isLeft ? .irreversible : .alreadyRestored
    }
}

// MARK: - What it has achieved

extension StepRunner {
    /// The clock by which systemd says when something was.
    private static var monotonicMicroseconds: Int64 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
    }

    /// How long the service has been stopped, or was until somebody started it.
    func downEffect(of key: WorkerKey) -> Effect? {
        guard let order = services[key], order.isGiven, let now = try? standing(of: order.service.unit) else {
            return nil
        }
        if now.isInactive, order.stoppedAt == nil { order.stoppedAt = Self.monotonicMicroseconds }
        guard let since = order.stoppedAt else { return .down(for: .zero) }
        let until = now.isInactive ? Self.monotonicMicroseconds : Int64(now.run) ?? since
        return .down(for: .microseconds(max(0, until - since)))
    }

    /// How long the service was not active; nil as long as it is not active again.
    func restartEffect(of key: WorkerKey) -> Effect? {
        let (left, entered) = ("ActiveExitTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        guard let order = services[key], order.isGiven, let now = try? standing(of: order.service.unit),
            now.isActive, now.run != order.service.run,
            let times = try? systemd.unitProperties([left, entered], of: order.service.unit),
            let from = times[left]?.first.flatMap({ Int64($0) }),
            let until = times[entered]?.first.flatMap({ Int64($0) }), until > from
        else { return nil }
        return .restarted(after: .microseconds(until - from))
    }
}
