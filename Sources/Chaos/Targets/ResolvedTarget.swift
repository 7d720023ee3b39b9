package import Cgroups
package import ChaosModel
import LinuxSystem
package import Namespaces

/// A target held by live handles: nothing that takes its numbers or names later is mistaken for it.
package final class ResolvedTarget: Sendable {
    package let facts: TargetFacts
    package let cgroup: Cgroup
    package let cpuCount: Int
    /// Its network namespace is the node's own.
    package let isOnHostNetwork: Bool
    /// Of its pod, as the runtime says.
    package let annotations: [String: String]
    /// Its end is the target's end.
    private let process: ProcessHandle?
    private let network: NamespaceHandle?

    init(
        facts: TargetFacts, cgroup: Cgroup, cpuCount: Int, isOnHostNetwork: Bool,
        annotations: [String: String] = [:], process: consuming ProcessHandle?, network: consuming NamespaceHandle?
    ) {
        self.facts = facts
        self.cgroup = cgroup
        self.cpuCount = cpuCount
        self.isOnHostNetwork = isOnHostNetwork
        self.annotations = annotations
        self.process = process
        self.network = network
    }

    /// Whether others may be in its network namespace who are not its owner's: a pod has one owner, and in the node's own
    /// network the target's packets are told from others'.
    package var mayShareNetwork: Bool {
        facts.network != nil && !isOnHostNetwork && facts.container?.isStandalone != false
    }

    /// Whether the target's process still runs; a cgroup alone has none that could end.
    package var isRunning: Bool {
        switch process {
        case .some(let process): process.isRunning
        case .none: true
        }
    }

    /// A pidfd that becomes readable when the target ends; open as long as this target is held.
    package var processDescriptor: Int32? {
        switch process {
        case .some(let process): process.descriptor.rawValue
        case .none: nil
        }
    }

    /// Hands the network namespace to the closure; nil where the target has none.
    package func withNetworkNamespace<Value: ~Copyable, Failure: Error>(
        _ body: (borrowing NamespaceHandle) throws(Failure) -> Value
    ) throws(Failure) -> Value? {
        switch network {
        case .some(let network): try body(network)
        case .none: nil
        }
    }
}
