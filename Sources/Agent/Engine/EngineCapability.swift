package import Authorization
package import Faults
package import Hardening
import Journal
import LinuxSystem
import Steps

/// A capability that the engine is given, and what for. docs/capabilities.md is made of these.
package struct EngineCapability: Sendable {
    package let capability: CapabilitySet
    /// For people: what is done with it.
    package let reason: String
    /// The faults that need it; nil for what every fault needs, if only to be taken back.
    package let faults: [any Fault.Type]?
    /// An agent that is not given it lacks nothing but these faults: agents in containers are not.
    package let isOptional: Bool

    package static let all: [EngineCapability] = [
        .init(.sysAdmin, "enter network, mount and cgroup namespaces of other processes"),
        .init(.sysPtrace, "open namespaces and file trees of processes of other users"),
        .init(.kill, "end workers, which run as nobody, and signal processes of other users"),
        .init(.dacOverride, "write cgroup files and directories whoever owns them"),
        .init(.setPCap, "give up capabilities in the bounding set, of workers too"),
        .init(.sysChroot, "let the dead-man's process leave the container, which it outlives"),
        .init(.sysResource, "choose whom the out-of-memory killer takes first, and last of all the dead-man's process"),
        .init(
            .setUID,
            "run gateway, runtimes process and workers as users without rights; of a target in a user namespace, "
                + "as its own", workers),
        .init(.setGID, "the same, for groups", workers),
        .init(.netAdmin, "change queueing disciplines, filters and links", { $0.needs.contains(.trafficShaping) }),
        .init(.fileOwner, "remove our file from a sticky directory of a target in a user namespace", { $0.makesFiles }),
        .init(
            .sysTime, "step the wall clock; an agent on a host is given it, one in a container is not",
            isOptional: true, { $0 == ClockSkew.self }),
    ]

    private init(
        _ capability: CapabilitySet, _ reason: String, isOptional: Bool = false,
        _ isNeeded: ((any Fault.Type) -> Bool)? = nil
    ) {
        self.capability = capability
        self.reason = reason
        self.isOptional = isOptional
        faults = isNeeded.map { isNeeded in FaultCatalogue.all.filter { isNeeded($0) } }
    }

    /// What a fault needs.
    static func needed(by fault: any Fault.Type) -> CapabilitySet {
        CapabilitySet(all.filter { $0.faults?.contains { $0 == fault } ?? true }.map(\.capability))
    }

    /// Also looks the names up of a fault on the network.
    private static func workers(_ fault: any Fault.Type) -> Bool {
        fault.needs.contains(.workers) || fault.needs.contains(.trafficShaping)
    }

    package static var everything: CapabilitySet { CapabilitySet(all.map(\.capability)) }
    /// What an agent may do without.
    package static var optional: CapabilitySet { CapabilitySet(all.filter(\.isOptional).map(\.capability)) }

    /// What the keeper itself needs, and the container is to be given therefore, whatever the engine gives up.
    package static let keepers: CapabilitySet = [.sysAdmin, .setPCap, .setUID, .setGID]

    /// What an engine needs that does nothing but what a policy allows somebody.
    package static func needed(by policy: Policy) -> CapabilitySet {
        let isAllowed = { (fault: any Fault.Type) in policy.allows(fault.kind, isOfHost: fault.reach == .host) }
        return CapabilitySet(all.filter { $0.faults?.contains(where: isAllowed) ?? true }.map(\.capability))
    }

    /// Gives up for good what the policy on disk allows no fault that needs it. Everything is kept where there is no policy
    /// yet, and when sessions of an earlier engine are to be taken back, whatever they need.
    ///
    /// Call it before there is a second thread.
    ///
    /// - Returns: What was given up.
    /// - Throws: The error of the call that failed.
    package static func giveUpUnneeded(_ configuration: EngineConfiguration) throws -> CapabilitySet {
        let file = PolicyFile(watching: configuration.policyFile, faults: FaultCatalogue.parameters)
        guard file.hash != nil else { return [] }
        let needed = needed(by: file.policy)
        let unneeded = everything.subtracting(needed)
        guard !unneeded.isEmpty else { return [] }
        do throws(JournalError) {
            guard try Journal.read(in: configuration.stateDirectory, each: { _ in }).live.isEmpty else { return [] }
        } catch .system(let error) where error.errno == .noEntry {
            // There has been no session yet.
        } catch {
            // The engine tells of it.
            return []
        }
        let withheld = try optional.missing()
        try needed.keepOnlyThese()
        return unneeded.subtracting(withheld)
    }
}
