import Glibc
import LinuxSystem
import Namespaces
import Netlink

/// What these tests need of the kernel, found out by trying.
enum KernelFeature {
    static let isRoot = geteuid() == 0
    static let hasNetem = works { socket, ifb in
        try socket.setNetem(Netem(limit: 1, latency: .zero), asRootOf: ifb)
    }
    static let hasFlower = works { socket, ifb in
        try socket.addClsact(to: ifb)
        let place = Filter.Place(interface: ifb, hook: .egress, preference: 1, etherType: .ipv4)
        try socket.setFlower(at: place, action: FilterAction(.redirect(to: ifb), cookie: []))
    }

    static let hasClassifiers = works { socket, ifb in
        try socket.addClsact(to: ifb)
        let place = Filter.Place(interface: ifb, hook: .egress, preference: 1, etherType: .all)
        try socket.addClassifier(
            of: 1, named: "probe", at: place, among: CgroupClassifiers(), action: FilterAction(.pass, cookie: []))
    }

    private static func works(_ attempt: (NetlinkSocket, Int32) throws -> Void) -> Bool {
        do {
            try inNewNamespace { socket in
                try socket.addIFB(named: "probe")
                for link in try socket.links() where link.name == "probe" { try attempt(socket, link.index) }
            }
            return true
        } catch {
            return false
        }
    }
}

/// Runs the closure with a socket in a network namespace that is gone afterwards.
func inNewNamespace(_ body: (NetlinkSocket) throws -> Void) throws {
    let thread = try NamespaceThread()
    try withTemporaryNetworkNamespace { namespace in
        var socket: NetlinkSocket?
        try thread.run(inNetworkNamespaceOf: namespace) { () throws(NetlinkError) in socket = try NetlinkSocket() }
        if let socket { try body(socket) }
    }
}

extension NetlinkSocket {
    func link(named name: String) throws -> Link? {
        try links().first { $0.name == name }
    }
}
