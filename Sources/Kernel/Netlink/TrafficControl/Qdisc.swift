internal import CNetlink

/// A queueing discipline as the kernel lists it.
package struct Qdisc: Hashable, Sendable {
    package let interface: Int32
    /// Major number in the upper half, as `0x10000` for `1:`; 0 for a default qdisc that got none.
    package let handle: UInt32
    package let parent: UInt32
    package let kind: String
    /// What netem is set to; nil for every other kind.
    package let netem: Netem?
    package let queue: Queue

    /// What waits in it now, and what went through.
    package struct Queue: Hashable, Sendable {
        package let packets: UInt32
        package let bytes: UInt32
        package let dropped: UInt32
        package let passed: UInt32
    }

    package var isRoot: Bool { parent == TC_H_ROOT }
    package var isClsact: Bool { kind == "clsact" }
    /// The older qdisc that takes clsact's place and has no hook for what is sent.
    package var isIngress: Bool { kind == "ingress" }

    /// Fixed by the kernel.
    static var clsactHandle: UInt32 { UInt32(TC_H_INGRESS) & UInt32(TC_H_MAJ_MASK) }
}

extension Qdisc {
    init?(_ message: NetlinkMessage) {
        guard message.type == RTM_NEWQDISC, let header = message.header(tcmsg.self) else { return nil }
        let attributes = message.attributes(after: tcmsg.self)
        guard let kind = attributes.string(TCA_KIND) else { return nil }
        let statistics = attributes.nested(TCA_STATS2)
        let queue = statistics?.value(TCA_STATS_QUEUE, as: gnet_stats_queue.self) ?? gnet_stats_queue()
        let basic = statistics?.value(TCA_STATS_BASIC, as: gnet_stats_basic.self) ?? gnet_stats_basic()
        self.interface = header.tcm_ifindex
        self.handle = header.tcm_handle
        self.parent = header.tcm_parent
        self.kind = kind
        self.netem = kind == "netem" ? attributes.bytes(TCA_OPTIONS).flatMap(Netem.init) : nil
        self.queue = Queue(packets: queue.qlen, bytes: queue.backlog, dropped: queue.drops, passed: basic.packets)
    }
}

extension NetlinkSocket {
    /// All qdiscs of the namespace's interfaces.
    ///
    /// The corresponding request is `RTM_GETQDISC`.
    package func qdiscs() throws(NetlinkError) -> [Qdisc] {
        let request = NetlinkRequest("RTM_GETQDISC", type: RTM_GETQDISC, flags: NLM_F_DUMP, header: tcmsg())
        return try dump(request, on: "qdiscs", Qdisc.init)
    }

    /// Adds the two hooks before and behind an interface's queues. The kernel flushes those queues meanwhile.
    ///
    /// - Throws: `EEXIST` when there is a clsact or ingress qdisc, `ENODEV` when there is no such interface.
    ///
    /// The corresponding request is `RTM_NEWQDISC`.
    package func addClsact(to interface: Int32) throws(NetlinkError) {
        let request = NetlinkRequest(
            "RTM_NEWQDISC", type: RTM_NEWQDISC, flags: NLM_F_CREATE | NLM_F_EXCL,
            header: tcmsg.clsact(of: interface))
        request.put(TCA_KIND, string: "clsact")
        try change(request, on: "clsact of interface \(interface)")
    }

    /// Deletes the hooks with all of their filters. The kernel flushes the interface's queues meanwhile.
    ///
    /// - Throws: `EINVAL` or `ENOENT` when there is no clsact, `ENODEV` when there is no such interface.
    ///
    /// The corresponding request is `RTM_DELQDISC`.
    package func deleteClsact(from interface: Int32) throws(NetlinkError) {
        try change(.deleteClsact(from: interface), on: "clsact of interface \(interface)")
    }

    /// Makes netem an interface's root qdisc, or changes the netem that is its root already: packets that wait in it
    /// stay and keep the delay that they were given.
    ///
    /// - Parameter delays: How delays lie in latency ± jitter; nil is evenly, or as they lay before.
    /// - Throws: `ENOENT` when this kernel has no netem.
    ///
    /// The corresponding request is `RTM_NEWQDISC`.
    package func setNetem(
        _ netem: Netem, delays: DelayTable? = nil, asRootOf interface: Int32
    ) throws(NetlinkError) {
        var header = tcmsg()
        header.tcm_ifindex = interface
        header.tcm_parent = TC_H_ROOT
        let request = NetlinkRequest(
            "RTM_NEWQDISC", type: RTM_NEWQDISC, flags: NLM_F_CREATE | NLM_F_REPLACE, header: header,
            extra: delays?.byteCount ?? 0)
        request.put(TCA_KIND, string: "netem")
        request.nest(TCA_OPTIONS) { netem.write(to: request, delays: delays) }
        try change(request, on: "netem of interface \(interface)")
    }
}

extension NetlinkRequest {
    static func deleteClsact(from interface: Int32) -> NetlinkRequest {
        let request = NetlinkRequest(
            "RTM_DELQDISC", type: RTM_DELQDISC, flags: 0, header: tcmsg.clsact(of: interface))
        request.put(TCA_KIND, string: "clsact")
        return request
    }
}

extension tcmsg {
    fileprivate static func clsact(of interface: Int32) -> tcmsg {
        var header = tcmsg()
        header.tcm_ifindex = interface
        header.tcm_parent = UInt32(TC_H_INGRESS)
        header.tcm_handle = Qdisc.clsactHandle
        return header
    }
}
