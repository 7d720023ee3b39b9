import Cgroups
import ChaosModel
import Systemd
import Targets

/// Process 1 starts what belongs to a unit in the unit's cgroup, and stands still until it has begun there (`clone3(2)` with
/// `CLONE_INTO_CGROUP` and `CLONE_VFORK`). In a cgroup that somebody freezes without telling it, nothing begins: the first
/// `systemctl restart` would stop the whole host.
extension TargetFacts.Cgroup {
    private static let suffixes = [".service", ".slice", ".socket", ".mount", ".swap"]

    /// The unit in whose cgroup a systemd starts something, by its name alone; nil where none does, as in a scope or a container's.
    var nameOfUnit: String? {
        guard var name = path.split(separator: "/").last.map(String.init),
            Self.suffixes.contains(where: name.hasSuffix)
        else { return nil }
        // What might be a file of the kernel's there has it before.
        if name.hasPrefix("_") { name.removeFirst() }
        return name
    }

    /// Whether that is a user's own systemd.
    var isOfUsersSystemd: Bool { path.split(separator: "/").dropLast().contains { $0.hasPrefix("user@") } }
}

extension StepRunner {
    /// The unit that process 1 starts things in this cgroup for; nil for another cgroup.
    ///
    /// - Throws: When it cannot be asked.
    private func unit(of cgroup: TargetFacts.Cgroup, _ layout: CgroupTree.Layout) throws(SystemdError) -> String? {
        guard layout == .unified, let name = cgroup.nameOfUnit else { return nil }
        return try systemd.isCgroup(cgroup.path, of: name) ? name : nil
    }

    /// - Throws: `target-refused` when nobody could be told.
    func refuseToFreezeBehindSystemd(_ target: ResolvedTarget) throws(Problem) {
        let cgroup = target.facts.cgroup
        guard target.cgroup.layout == .unified, let name = cgroup.nameOfUnit else { return }
        if cgroup.isOfUsersSystemd {
            throw Problem(
                .targetRefused, "\(name) is of a user's systemd, which would hang when it starts something there",
                field: "target", hint: "stop its processes with process-signal")
        }
        guard systemd.isThere else {
            throw Problem(
                .targetRefused, "the node's systemd would hang when it starts something in \(name), and cannot be told",
                field: "target", hint: "choose a container, or run the agent as the host's own service")
        }
    }

    func freezeBySystemd(_ key: LimitKey, _ lowered: LoweredLimits) throws(SystemdError) {
        guard key.resource == .freezer, let unit = try unit(of: key.cgroup, lowered.cgroup.layout) else { return }
        try systemd.freeze(unit)
    }

    func thawBySystemd(_ key: LimitKey, _ lowered: LoweredLimits) throws(SystemdError) {
        guard key.resource == .freezer, let unit = try unit(of: key.cgroup, lowered.cgroup.layout) else { return }
        try systemd.thaw(unit)
    }
}
