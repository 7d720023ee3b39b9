package import Netlink

/// Why traffic cannot be shaped, or could not be.
package enum TrafficError: Error, Hashable, Sendable {
    /// Nothing is up but loopback.
    case noInterface
    case tooManyInterfaces(Int, most: Int)
    /// An ingress qdisc sits where clsact would go.
    case ingressQdisc(interface: String)
    /// Somebody else's filter is where ours would go.
    case preferenceTaken(interface: String, preference: UInt16)
    /// An interface that is no ifb has the name of one of ours.
    case nameTaken(String)
    /// Somebody keeps changing what was just changed; these differences are left.
    case contested(differences: [String])
    case netlink(NetlinkError)
}

extension TrafficError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .noInterface: "no interface but loopback is up"
        case .tooManyInterfaces(let count, let most): "\(count) interfaces are up, of which \(most) could be shaped"
        case .ingressQdisc(let interface): "\(interface) has an ingress qdisc, which leaves no room for clsact"
        case .preferenceTaken(let interface, let preference):
            "\(interface) has a filter of another owner at preference \(preference)"
        case .nameTaken(let name): "\(name) is an interface of another owner"
        case .contested(let differences):
            "another program changes traffic control at the same time: \(differences.joined(separator: ", "))"
        case .netlink(let error): "\(error)"
        }
    }
}
