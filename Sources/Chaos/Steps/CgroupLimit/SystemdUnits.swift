import Cgroups
import ChaosModel
import Systemd
import Targets

/// Process 1 starts what belongs to a unit in the unit's cgroup, and stands still until it has begun there (`clone3(2)` with
/// `CLONE_INTO_CGROUP` and `CLONE_VFORK`). In a cgroup that somebody freezes without telling it, nothing begins: the first
/// `systemctl restart` would stop the whole host.
extension TargetFacts.Cgroup {
    enum Place: Equatable {
        /// The own cgroup of a service of the node's systemd, which is below slices alone: nobody but systemd makes any there.
        case service(String)
        /// Where a systemd starts something, too, which it cannot be told to freeze.
        case otherOfSystemd
        /// No systemd starts anything there.
        case elsewhere
    }

    /// On version 1 systemd starts nothing in a cgroup of the freezer's.
    func place(in layout: CgroupTree.Layout) -> Place {
        guard layout == .unified else { return .elsewhere }
        let parts = path.split(separator: "/").map(String.init)
        guard var name = parts.last else { return .elsewhere }
        // What might be a file of the kernel's there has it before.
        if name.hasPrefix("_") { name.removeFirst() }
        let above = parts.dropLast()
        if above.contains(where: { $0.hasPrefix("user@") }) {
            return name.hasSuffix(".scope") ? .elsewhere : .otherOfSystemd
        }
        // Where systemd starts what stops or reloads a service that has cgroups of its own.
        if name == ".control" { return .otherOfSystemd }
        guard above.allSatisfy({ $0.hasSuffix(".slice") }) else { return .elsewhere }
        if name.hasSuffix(".service") { return .service(name) }
        return [".slice", ".socket", ".mount", ".swap"].contains(where: name.hasSuffix) ? .otherOfSystemd : .elsewhere
    }
}

extension StepRunner {
    /// - Throws: `target-refused` when systemd cannot be told, or would not bear it.
    func refuseToFreezeBehindSystemd(_ target: ResolvedTarget) throws(Problem) {
        let cgroup = target.facts.cgroup
        let service: String
        switch cgroup.place(in: target.cgroup.layout) {
        case .service(let name): service = name
        case .otherOfSystemd:
            throw Problem(
                .targetRefused, "a systemd starts processes in \(cgroup.path), and would hang in it", field: "target",
                hint: "name a service, or stop processes with process-signal")
        case .elsewhere: return
        }
        guard systemd.isThere else {
            throw Problem(
                .targetRefused,
                "the node's systemd would hang when it starts something in \(service), and cannot be told",
                field: "target", hint: "choose a container, or run the agent as the host's own service")
        }
        let watchdog: String?
        do throws(SystemdError) {
            watchdog = try systemd.serviceProperty("WatchdogUSec", of: service)
        } catch {
            throw Problem(.targetUnresolvable, "\(error)", field: "target")
        }
        // It would be killed, and systemd starts nothing that ended while it was frozen.
        guard watchdog == "0" || watchdog == "\(UInt64.max)" else {
            throw Problem(
                .targetRefused, "\(service) has a watchdog (WatchdogSec), which would kill it while it stands still",
                field: "target", hint: "stop its processes with process-signal")
        }
    }

    /// - Throws: `target-refused` for a service that a session has frozen: what ended then would not be started again.
    func refuseToSignalFrozen(_ target: ResolvedTarget) throws(Problem) {
        guard case .service(let service) = target.facts.cgroup.place(in: target.cgroup.layout),
            (try? target.cgroup.isFrozen()) == true
        else { return }
        throw Problem(
            .targetRefused, "\(service) is frozen, and systemd starts nothing again that ended so", field: "target",
            hint: "wait until that is over")
    }

    /// Also of one that is frozen already: somebody may have told systemd that it is not.
    func freezeBySystemd(_ key: LimitKey, _ lowered: LoweredLimits) throws(SystemdError) {
        if let service = service(frozenBy: key, lowered) { try systemd.freeze(service) }
    }

    /// The service that systemd has to be told of; nil for anything else.
    private func service(frozenBy key: LimitKey, _ lowered: LoweredLimits) -> String? {
        guard key.resource == .freezer, case .service(let name) = key.cgroup.place(in: lowered.cgroup.layout) else {
            return nil
        }
        return name
    }

    func thawBySystemd(_ key: LimitKey, _ lowered: LoweredLimits) throws(SystemdError) {
        guard let service = service(frozenBy: key, lowered) else { return }
        do throws(SystemdError) {
            try systemd.thaw(service)
        } catch {
            // It has forgotten the unit, and with that whether it was frozen.
            if case .refused(name: "org.freedesktop.systemd1.NoSuchUnit", _) = error { return }
            throw error
        }
    }

    /// What systemd still believes of a service whose cgroup is gone; nil when nothing is left of the freeze.
    func leftFrozen(_ key: LimitKey) -> String? {
        guard key.resource == .freezer, case .service(let name) = key.cgroup.place(in: cgroups.layout),
            systemd.isThere,
            let state = try? systemd.unitProperty("FreezerState", of: name), state != "running"
        else { return nil }
        return
            "\(name) ended while it was frozen, and systemd starts it no more before it has forgotten that (\(state))"
    }
}
