internal import Netlink

/// What the kernel holds now, as far as layers are concerned.
struct TrafficState {
    let links: [Link]
    let qdiscs: [Qdisc]
    /// Of all interfaces that have clsact, at both hooks, in the order in which they are asked.
    let filters: [Filter]

    init(readingFrom socket: NetlinkSocket) throws(NetlinkError) {
        links = try socket.links()
        qdiscs = try socket.qdiscs()
        var filters: [Filter] = []
        for qdisc in qdiscs where qdisc.isClsact {
            for hook in ClsactHook.allCases {
                filters += try socket.filters(of: qdisc.interface, at: hook)
            }
        }
        self.filters = filters
    }
}

extension TrafficState {
    func link(_ index: Int32) -> Link? { links.first { $0.index == index } }
    func link(named name: String) -> Link? { links.first { $0.name == name } }
    func root(of interface: Int32) -> Qdisc? { qdiscs.first { $0.interface == interface && $0.isRoot } }

    func hasClsact(_ interface: Int32) -> Bool { qdiscs.contains { $0.interface == interface && $0.isClsact } }
    func hasIngressQdisc(_ interface: Int32) -> Bool { qdiscs.contains { $0.interface == interface && $0.isIngress } }

    /// Whether packets wait that adding or deleting clsact would drop: the kernel empties the root qdisc meanwhile.
    func hasBacklog(_ interface: Int32) -> Bool { (root(of: interface)?.queue.packets ?? 0) > 0 }

    var ownIFBs: [Link] { links.filter(\.isOwnIFB) }
    var ownFilters: [Filter] { filters.filter(\.isOwn) }
    /// The numbers of those whose packets are led into chains of their own.
    var cgroups: Set<UInt64> { Set(ownFilters.compactMap(\.name).compactMap(TrafficEntrance.cgroup)) }
    /// Filters of others, without the entries that stand for a place where they are.
    func hasForeignFilters(_ interface: Int32) -> Bool {
        filters.contains { $0.place.interface == interface && $0.handle != 0 && !$0.isOwn }
    }
}

extension Link {
    var isOwnIFB: Bool { kind == "ifb" && TrafficClass.isInterfaceName(name) }
}

extension Filter {
    /// The cookie of a redirection is the name of the ifb that it leads to, also when that is gone.
    var isOwn: Bool { isOwnRedirection || isOwnExclusion || isOwnEntrance || isCatchAll }

    var isOwnRedirection: Bool {
        kind == "flower"
            && actions.contains { TrafficClass.isInterfaceName(String(decoding: $0.cookie, as: UTF8.self)) }
    }

    var isOwnExclusion: Bool { kind == "flower" && actions.contains { $0.cookie == FilterAction.ownCookie } }

    var isOwnEntrance: Bool { kind == "bpf" && actions.contains { $0.cookie == FilterAction.ownCookie } }

    var isCatchAll: Bool { kind == "matchall" && actions == [.catchAll] }
}

extension FilterAction {
    /// Of whatever leads to no ifb.
    static let ownCookie = Array("squall".utf8)

    /// What comes back from an ifb is marked to skip one action of traffic control. Where none of ours is left to be
    /// skipped, since its filter was deleted while packets waited in the ifb, the mark would stay with the packet and
    /// an action of its receiver would be skipped: so every packet meets an action that does nothing.
    static let catchAll = FilterAction(.continue, cookie: ownCookie)

    /// What is excluded meets no filter of ours any more, and goes where it was going.
    static let exclude = FilterAction(.pass, cookie: ownCookie)

    static func enter(_ chain: UInt32) -> FilterAction { FilterAction(.enter(chain: chain), cookie: ownCookie) }

    static func redirect(to ifb: Link) -> FilterAction {
        FilterAction(.redirect(to: ifb.index), cookie: Array(ifb.name.utf8))
    }
}
