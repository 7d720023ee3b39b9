package import ChaosModel

/// Somebody whom no fault on the network hits, whatever a session asks for: without them the node, or what runs on it,
/// could not be looked after.
package struct ExcludedEndpoint: Hashable, Sendable {
    package let network: IPNetwork
    package let role: Role

    package enum Role: String, CaseIterable, Sendable {
        /// Of the target's default route.
        case gateway
        /// An address of the node, from which kubelet probes.
        case node
        case agent
        /// Of Kubernetes.
        case apiServer = "api-server"
        /// Where clouds tell a machine who it is.
        case metadata
        /// Named by who runs the agent.
        case configured
    }

    package init(_ network: IPNetwork, _ role: Role) {
        self.network = network
        self.role = role
    }

    /// Link-local, and the same everywhere: AWS, Azure, Google and others for IPv4, AWS and Google for IPv6.
    package static let metadataServices = ["169.254.169.254", "fd00:ec2::254", "fd20:ce::254"].compactMap {
        IPNetwork(text: $0).map { ExcludedEndpoint($0, .metadata) }
    }
}

extension ExcludedEndpoint.Role {
    /// As in "10.0.0.1 is the target's gateway".
    package var words: String {
        switch self {
        case .gateway: "the target's gateway"
        case .node: "an address of the node"
        case .agent: "the agent's own address"
        case .apiServer: "the API server"
        case .metadata: "the metadata service"
        case .configured: "excluded by the agent's configuration"
        }
    }
}

extension ExcludedEndpoint {
    /// The packets to it, or from it.
    func box(_ direction: TrafficBox.Direction) -> TrafficBox {
        TrafficBox(direction: direction, family: network.isIPv4 ? .ipv4 : .ipv6, destination: network)
    }
}

extension ExcludedEndpoint {
    var json: JSON { ["network": .string("\(network)"), "role": .string(role.rawValue)] }

    /// Nil for anything that `json` cannot have made.
    init?(_ json: JSON) {
        guard let json = json.only("network", "role"),
            let network = json["network"]?.stringValue.flatMap(IPNetwork.init(text:)), !network.isEverything,
            let role = json["role"]?.stringValue.flatMap(Role.init)
        else { return nil }
        self.init(network, role)
    }
}
