import Cgroups
import ChaosModel
import Faults
import Hardening
import LinuxSystem
import Namespaces
import Steps

/// Whether this node can do what a step needs; found out by doing it where it touches nothing.
struct FeatureReport: Sendable {
    let feature: NodeFeature
    /// Why it does not work; nil when it does.
    let reason: String?
    /// What would make it work.
    let remedy: String?
    /// The capabilities for it that the engine has given up.
    var givenUp: CapabilitySet = []

    /// The faults that do not work, by their kinds, each with the reason.
    static func unworkable(
        _ reports: [FeatureReport], without givenUp: CapabilitySet
    ) throws(SystemCallError) -> [String: String] {
        let withheld = try EngineCapability.optional.missing().subtracting(givenUp)
        var unworkable: [String: String] = [:]
        for fault in FaultCatalogue.all {
            let needed = EngineCapability.needed(by: fault)
            guard needed.isDisjoint(with: withheld) else {
                unworkable[fault.kind] = "the agent was not given \(needed.intersection(withheld))"
                continue
            }
            let lost = needed.intersection(givenUp)
            let broken = reports.first { (fault.needs + [.deadMansProcess]).contains($0.feature) && $0.reason != nil }
            unworkable[fault.kind] =
                lost.isEmpty
                ? broken?.reason
                : "the engine gave \(lost) up when it started, since the policy then allowed no fault that needs it: start the "
                    + "agent again"
        }
        return unworkable
    }

    static func trafficShaping(_ thread: NamespaceThread, without givenUp: CapabilitySet) -> FeatureReport {
        if givenUp.contains(.netAdmin) {
            return FeatureReport(
                feature: .trafficShaping,
                reason: "the engine gave cap_net_admin up: the policy allowed no fault on the network",
                remedy: "allow one, and start the agent again", givenUp: [.netAdmin])
        }
        do {
            try withTemporaryNetworkNamespace { namespace in
                try StepRunner.probeShaping(in: namespace, on: thread)
            }
            return FeatureReport(feature: .trafficShaping, reason: nil, remedy: nil)
        } catch {
            return FeatureReport(
                feature: .trafficShaping, reason: "\(error)",
                remedy: "load sch_netem, ifb, sch_ingress, cls_flower, cls_matchall and act_mirred; "
                    + "or use a kernel that has them")
        }
    }

    /// The same of another feature, which stands and falls with this one.
    func standing(for other: NodeFeature) -> FeatureReport {
        FeatureReport(feature: other, reason: reason, remedy: remedy, givenUp: givenUp)
    }

    static func unifiedCgroups(_ cgroups: CgroupTree) -> FeatureReport {
        switch cgroups.layout {
        case .unified: FeatureReport(feature: .unifiedCgroups, reason: nil, remedy: nil)
        case .perController:
            FeatureReport(
                feature: .unifiedCgroups, reason: "the node's cgroup controllers are those of version 1",
                remedy: "start the node with systemd.unified_cgroup_hierarchy=1")
        }
    }

    var json: JSON {
        .object([
            ("name", .string(feature.rawValue)),
            ("works", .boolean(reason == nil)),
            ("reason", reason.map(JSON.string)),
            ("remedy", remedy.map(JSON.string)),
            ("givenUp", givenUp.isEmpty ? Optional.none : .array(givenUp.names.map(JSON.string))),
        ])
    }
}
