import Cgroups
import ChaosModel
import DeadMan
import LinuxSystem
import Systemd
import Targets

extension LoweredLimit {
    private static let leastMemory: Int64 = 1 << 20

    /// How much is to be left.
    fileprivate func amount(on target: ResolvedTarget, from base: CgroupLimit) throws(CgroupFileError) -> Int64 {
        switch self {
        case .cpu(let share):
            let cpus = Int64(target.cpuCount) * 1_000_000
            let above = try target.cgroup.cpuLimitAbove()
            let available = min(base.amount ?? cpus, above ?? cpus, cpus)
            return Int64((Double(available) * share.fraction).rounded())
        case .memory(.bytes(let bytes)): return bytes.value
        case .memory(.ofUse(let share)):
            return max(Self.leastMemory, Int64(Double(try target.cgroup.memoryUse()) * share.fraction))
        case .freezer: return 0
        case .io(_, let amount, _): return amount
        }
    }

    /// Why a limit is none that is lower than what there was.
    fileprivate func isNotLower(_ layer: LimitLayer) -> Problem {
        switch self {
        case .cpu:
            Problem(
                .fieldInvalid, "the target has no more CPU time than the kernel's least limit already",
                field: "parameters.percent", hint: "choose another target")
        case .memory(let amount):
            Problem(
                .fieldInvalid,
                "memory.high is \(ByteCount(layer.base.amount ?? 0)) already, which is not above "
                    + "\(ByteCount(layer.limit.amount ?? 0))",
                field: amount.field, hint: "ask for less, or choose another target")
        case .freezer:
            Problem(
                .targetRefused, "the target is frozen already", field: "target",
                hint: "thaw it, as `docker unpause` does, or choose another")
        case .io(let quantity, _, _):
            Problem(
                .fieldInvalid,
                "what is \(quantity.words) the disk is limited already, and to no more than that: \(layer.base.text)",
                field: "parameters", hint: "ask for less")
        }
    }
}

extension LoweredLimit.MemoryAmount {
    fileprivate var field: String {
        switch self {
        case .bytes: "parameters.size"
        case .ofUse: "parameters.percent"
        }
    }
}

extension StepRunner {
    /// Who gives a cgroup the controller that it lacks.
    private static func remedy(for controller: CgroupController, of target: ResolvedTarget) -> String {
        let settings: [CgroupController: String] = [
            .cpu: "CPUWeight=100", .io: "IOWeight=100", .memory: "MemoryAccounting=yes",
        ]
        if target.facts.unit != nil, let setting = settings[controller] {
            return "systemd enables the controller \(controller.rawValue) for a unit with \(setting), as its default is"
        }
        return "let the node's runtime enable the controller \(controller.rawValue)"
            + (controller == .memory ? " on cgroup v2" : "")
    }

    func prepareLimit(_ lowered: LoweredLimit, on target: ResolvedTarget) async throws(Problem) -> Intent {
        let resource: LimitedResource =
            switch lowered {
            case .cpu: .cpu
            case .memory: .memory
            case .freezer: .freezer
            case .io(let quantity, _, let directory): .io(try await disk(behind: directory, of: target), quantity)
            }
        let holdsOnlyOthers: Bool
        let isContested: Bool
        var burst: Int64 = 0
        let layer: LimitLayer
        do throws(CgroupFileError) {
            let processes = try target.cgroup.processes()
            holdsOnlyOthers = target.facts.process == nil && processes.isEmpty
            // What a session has lowered already is no measure of what the target has.
            let found = try target.cgroup.limit(of: resource)
            let known = limits[LimitKey(cgroup: target.facts.cgroup, resource: resource)]
            isContested = known.map { !$0.isOurs(found) } ?? false
            let base = known?.base ?? found
            let amount = try lowered.amount(on: target, from: base)
            if resource == .cpu { burst = try target.cgroup.cpuBurst() }
            layer = LimitLayer(
                resource, limit: try target.cgroup.limit(of: resource, at: amount), base: base)
        } catch .notEnabled(let controller, let file, _) {
            throw Problem(
                .targetRefused, "the target's cgroup has no \(file)", field: "target",
                hint: Self.remedy(for: controller, of: target))
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        if resource == .freezer {
            try refuseIfItHoldsInit(target)
            try refuseToFreezeBehindSystemd(target)
        }
        if holdsOnlyOthers {
            throw Problem(
                .targetRefused, "the cgroup has no process of its own: all cgroups below it would be hit",
                field: "target", hint: "name one of those")
        }
        if isContested {
            throw Problem(
                .targetBusy, "somebody else has changed the limit since another session lowered it", field: "target",
                hint: "wait for the end of that session")
        }
        guard layer.limit.amount ?? .max < layer.base.amount ?? .max else { throw lowered.isNotLower(layer) }
        if let quota = layer.limit.text.split(separator: " ").first.flatMap({ Int64($0) }), burst > quota {
            throw Problem(
                .fieldInvalid,
                "the target may save up \(burst) us of CPU time, more than the quota of \(quota) us would be",
                field: "parameters.percent", hint: "leave it more, or lower its cpu.max.burst first")
        }
        return .lowerLimit(layer, in: target.facts.cgroup)
    }

    func lower(
        _ layer: LimitLayer, in facts: TargetFacts.Cgroup, for session: SessionID, on target: ResolvedTarget,
        until deadline: BootInstant
    ) throws(StepError) {
        let key = LimitKey(cgroup: facts, resource: layer.resource)
        let lowered = limits[key] ?? LoweredLimits(target.cgroup, base: layer.base)
        do {
            let found = try lowered.cgroup.limit(of: layer.resource)
            guard lowered.isOurs(found) else { throw StepError("somebody else has set the limit to \(found.text)") }
            lowered.layers[session] = LoweredLimits.Layer(
                limit: layer.limit, deadline: deadline, countedBefore: try Counted(lowered.cgroup, layer.resource))
            limits[key] = lowered
            _ = claim(lowered)
            try entrust(
                lowered, as: key, until: lowered.firstDeadline ?? deadline, target: target.processDescriptor)
            guard lowered.stopsLowering() else { throw StepError("a former change of the limit is not over") }
            try freezeBySystemd(key, lowered)
            try lowered.write(layer.resource)
            let now = try lowered.cgroup.limit(of: layer.resource)
            guard now.text == lowered.wanted.text else {
                throw StepError("the kernel has \(now.text) instead of \(lowered.wanted.text)")
            }
            guard handOver(lowered) else { throw StepError("this took so long that it was taken back") }
        } catch {
            throw StepError("\(error)")
        }
    }

    func raise(_ layer: LimitLayer, in facts: TargetFacts.Cgroup, for session: SessionID) -> UndoProgress {
        let key = LimitKey(cgroup: facts, resource: layer.resource)
        do {
            guard let lowered = try limits[key] ?? reopen(key, base: layer.base) else {
                return .done(leftFrozen(key).map { .drifted(found: $0) } ?? .alreadyRestored)
            }
            if limits[key] == nil {
                limits[key] = lowered
                lowered.layers[session] = .left(layer)
            }
            // It was never put there.
            guard lowered.layers[session] != nil else { return .done(.alreadyRestored) }
            lowered.layers[session]?.isEnding = true
            _ = claim(lowered)
            guard lowered.stopsLowering() else { return .unfinished(callAgainAfter: .milliseconds(1)) }
            let next = lowered.firstDeadline
            // Others go on. Whether they can be entrusted to anybody must not keep this one in effect; and what is
            // entrusted already, at this one's deadline, stays so until this one is undone.
            if let next, lowered.slot == nil { try? entrust(lowered, as: key, until: next, target: nil) }
            // Before its processes go on: what ends then is started again.
            var untold: SystemdError?
            if lowered.layers.count == 1 {
                do throws(SystemdError) { try thawBySystemd(key, lowered) } catch { untold = error }
            }
            let wanted = lowered.wanted
            let found = try lowered.cgroup.limit(of: layer.resource)
            let outcome: UndoOutcome
            if found.text == wanted.text {
                outcome = next == nil ? .alreadyRestored : .restored
            } else if lowered.isOurs(found) {
                try lowered.write(layer.resource)
                let now = try lowered.cgroup.limit(of: layer.resource).text
                guard now == wanted.text else { return .done(.failed("still \(now) instead of \(wanted.text)")) }
                outcome = .restored
            } else {
                outcome = .drifted(found: "the limit is \(found.text), which this agent has not put there")
            }
            if let next { try? entrust(lowered, as: key, until: next, target: nil) }
            if lowered.layers.count > 1, !handOver(lowered) {
                // This took so long that the others' part was taken back too: put it there again.
                return .unfinished(callAgainAfter: .milliseconds(1))
            }
            if let untold { throw untold }
            lowered.layers[session] = nil
            if lowered.layers.isEmpty {
                letGo(lowered)
                limits[key] = nil
            }
            return .done(outcome)
        } catch CgroupFileError.gone {
            forget(key)
            return .done(leftFrozen(key).map { .drifted(found: $0) } ?? .alreadyRestored)
        } catch CgroupFileError.notEnabled {
            forget(key)
            return .done(.drifted(found: "the controller was switched off, and every limit with it"))
        } catch {
            return .done(.failed("\(error)"))
        }
    }

    private func forget(_ key: LimitKey) {
        if let lowered = limits.removeValue(forKey: key) { letGo(lowered) }
    }

    func limitEffect(_ layer: LimitLayer, in facts: TargetFacts.Cgroup, of session: SessionID) -> Effect? {
        guard let lowered = limits[LimitKey(cgroup: facts, resource: layer.resource)],
            let before = lowered.layers[session]?.countedBefore
        else { return nil }
        let (cgroup, limit) = (lowered.cgroup, try? lowered.cgroup.limit(of: layer.resource))
        switch before {
        case .throttled(let before):
            guard let now = try? cgroup.throttledTime(), let limit else { return nil }
            return .throttled(for: max(.zero, now - before), limit: limit.amount.map { Double($0) / 1e6 })
        case .reclaimed(let before):
            guard let use = try? cgroup.memoryUse(), let now = try? cgroup.reclaimedMemory() else { return nil }
            return .reclaimed(ByteCount(max(0, now - (before ?? 0))), used: ByteCount(use))
        case .io(let device, let before, let since):
            guard let now = try? cgroup.ioCount(of: device) else { return nil }
            return .io(
                read: ByteCount(max(0, now.read - before.read)),
                written: ByteCount(max(0, now.written - before.written)),
                operations: IOOperations(
                    reads: max(0, now.reads - before.reads), writes: max(0, now.writes - before.writes)),
                over: .now - since)
        case .frozen(let since):
            guard let isFrozen = try? cgroup.isFrozen() else { return nil }
            return .paused(for: isFrozen ? .now - since : .zero)
        }
    }

    /// Of what sessions do together each has to know the others' part.
    func adoptLimit(_ layer: LimitLayer, in facts: TargetFacts.Cgroup, of session: SessionID) {
        let key = LimitKey(cgroup: facts, resource: layer.resource)
        // What cannot be opened is told when it is to be undone.
        guard let lowered = limits[key] ?? (try? reopen(key, base: layer.base)) else { return }
        limits[key] = lowered
        lowered.layers[session] = .left(layer)
    }

    /// Nil when the cgroup is gone.
    private func reopen(_ key: LimitKey, base: CgroupLimit) throws(CgroupOpeningError) -> LoweredLimits? {
        do throws(CgroupOpeningError) {
            let cgroup = try cgroups.cgroup(at: key.cgroup.path)
            return cgroup.id == key.cgroup.id ? LoweredLimits(cgroup, base: base) : nil
        } catch {
            if case .system(let reason) = error, reason.errno == .noEntry { return nil }
            throw error
        }
    }

    /// Entrusts what would put back what there was, under our claim.
    private func entrust(
        _ lowered: LoweredLimits, as key: LimitKey, until deadline: BootInstant, target: Int32?
    ) throws(StepError) {
        guard let deadMan else { return }
        var program = DeadMansProgram()
        program.restore(
            lowered.base.text, insteadOf: Set(lowered.layers.values.flatMap(\.limit.texts)),
            takesLong: key.resource == .memory)
        let overdue = deadline + Self.grace
        do {
            if let slot = lowered.slot {
                lowered.slot = try deadMan.replace(slot, with: program, deadline: overdue)
            } else {
                let file = try lowered.cgroup.openLimit(of: key.resource)
                lowered.slot = try deadMan.entrust(
                    program, tag: key.tag, files: [file.rawValue], target: target, deadline: overdue)
            }
        } catch {
            throw StepError("\(error)")
        }
    }
}

extension LoweredLimits.Layer {
    /// Of a session that only its journal tells of.
    fileprivate static func left(_ layer: LimitLayer) -> LoweredLimits.Layer {
        LoweredLimits.Layer(limit: layer.limit, deadline: .now, countedBefore: nil, isEnding: true)
    }
}
