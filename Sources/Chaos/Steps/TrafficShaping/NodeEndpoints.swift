internal import ChaosModel
internal import LinuxSystem
package import Namespaces
internal import Netlink

/// Who on this node is never hit: its own addresses, the agent's, and those that the agent was told.
package final class NodeEndpoints {
    /// Of its own network, when all of that is hit.
    let spared: Set<SparedPackets>
    private let told: [ExcludedEndpoint]
    private let node: NetlinkSocket
    private let agent: NetlinkSocket
    /// As of a while ago: each session asks, and a node's addresses hardly ever change.
    private var known: (endpoints: [ExcludedEndpoint], until: BootInstant)?
    private static let validity = Duration.seconds(10)

    /// - Parameters:
    ///   - told: Beside the metadata services.
    ///   - ports: Of the node, by which it is reached.
    /// - Throws: When the node's network cannot be looked at.
    package init(
        _ told: [ExcludedEndpoint], sparing ports: [SparedPort], on thread: NamespaceThread
    ) throws(StepError) {
        spared = SparedPackets.all(with: ports)
        self.told = ExcludedEndpoint.metadataServices + told
        do {
            let host = try NamespaceHandle(.network, ofProcess: 1)
            node = try thread.run(inNetworkNamespaceOf: host) { () throws(NetlinkError) in try NetlinkSocket() }
            agent = try NetlinkSocket()
        } catch {
            throw StepError("the node's own addresses cannot be read: \(error)")
        }
    }

    func current() throws(StepError) -> [ExcludedEndpoint] {
        if let known, .now < known.until { return known.endpoints }
        let endpoints: [ExcludedEndpoint]
        do throws(NetlinkError) {
            endpoints = try told + Self.addresses(through: node, of: .node) + Self.addresses(through: agent, of: .agent)
        } catch {
            throw StepError("the node's own addresses cannot be read: \(error)")
        }
        known = (endpoints, .now + Self.validity)
        return endpoints
    }

    /// Those by which others reach it. A dummy interface is not where packets arrive: kube-proxy gives one the addresses of
    /// all services.
    private static func addresses(
        through socket: NetlinkSocket, of role: ExcludedEndpoint.Role
    ) throws(NetlinkError) -> [ExcludedEndpoint] {
        let addresses = try socket.addresses().filter(\.isGlobal)
        var reached: Set<Int32> = []
        for interface in Set(addresses.map(\.interface)) {
            let link: Link
            do throws(NetlinkError) {
                link = try socket.link(interface)
            } catch let error where error.errno == .noDevice {
                // It has gone meanwhile, and its addresses with it.
                continue
            }
            if !link.isLoopback, link.kind != "dummy" { reached.insert(interface) }
        }
        return addresses.filter { reached.contains($0.interface) }.compactMap { address in
            IPNetwork(host: address.address).map { ExcludedEndpoint($0, role) }
        }
    }
}
