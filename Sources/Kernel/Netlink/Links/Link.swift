internal import CNetlink
internal import Glibc
internal import LinuxSystem

/// A network interface as the kernel lists it.
package struct Link: Hashable, Sendable {
    /// Its number in this network namespace.
    package let index: Int32
    package let name: String
    /// The kernel's kind of a virtual interface, as `veth` or `ifb`.
    package let kind: String?
    package let isUp: Bool
    package let isLoopback: Bool
    /// The bridge, bond or VRF that it is a port of.
    package let master: Int32?
    package let alias: String?
    package let mtu: UInt32
    package let transmitQueueLength: UInt32
}

extension Link {
    init?(_ message: NetlinkMessage) {
        guard let link = RouteLink(message), let name = rtnl_link_get_name(link.pointer) else { return nil }
        self.index = rtnl_link_get_ifindex(link.pointer)
        self.name = String(cString: name)
        self.kind = rtnl_link_get_type(link.pointer).map { String(cString: $0) }
        let flags = rtnl_link_get_flags(link.pointer)
        self.isUp = flags & UInt32(IFF_UP) != 0
        self.isLoopback = flags & UInt32(IFF_LOOPBACK) != 0
        // libnl-route says 0 where the attribute is missing; no interface has that number.
        let master = rtnl_link_get_master(link.pointer)
        self.master = master == 0 ? nil : master
        self.alias = rtnl_link_get_ifalias(link.pointer).map { String(cString: $0) }
        self.mtu = rtnl_link_get_mtu(link.pointer)
        self.transmitQueueLength = rtnl_link_get_txqlen(link.pointer)
    }
}

extension NetlinkSocket {
    /// All interfaces of the namespace.
    ///
    /// The corresponding request is `RTM_GETLINK`.
    package func links() throws(NetlinkError) -> [Link] {
        let request = NetlinkRequest("RTM_GETLINK", type: RTM_GETLINK, flags: NLM_F_DUMP, header: ifinfomsg())
        var links: [Link] = []
        for message in try dump(request, on: "links", { $0.type == RTM_NEWLINK ? $0 : nil }) {
            // An interface that cannot be read is not one that is not there.
            guard let link = Link(message) else {
                throw NetlinkError("RTM_GETLINK", on: "links", errno: Errno(rawValue: EBADMSG))
            }
            links.append(link)
        }
        return links
    }

    /// - Throws: `ENODEV` when there is no such interface.
    ///
    /// The corresponding request is `RTM_GETLINK`.
    package func link(_ index: Int32) throws(NetlinkError) -> Link {
        var header = ifinfomsg()
        header.ifi_index = index
        let request = NetlinkRequest("RTM_GETLINK", type: RTM_GETLINK, flags: 0, header: header)
        guard let link = Link(try ask(request, on: "interface \(index)")) else {
            throw NetlinkError("RTM_GETLINK", on: "interface \(index)", errno: Errno(rawValue: EBADMSG))
        }
        return link
    }

    /// Makes an intermediate functional block, up from the start: what is redirected to it passes its qdisc and then
    /// goes on where it was going. It has one queue, so that a root qdisc takes all of its packets. Its MTU does not
    /// matter, since redirection does not look at it, nor its queue length, since netem has a limit of its own.
    ///
    /// - Throws: `EEXIST` when an interface has that name.
    ///
    /// The corresponding request is `RTM_NEWLINK`.
    package func addIFB(named name: String) throws(NetlinkError) {
        let link = RouteLink()
        rtnl_link_set_name(link.pointer, name)
        rtnl_link_set_type(link.pointer, "ifb")
        rtnl_link_set_num_tx_queues(link.pointer, 1)
        rtnl_link_set_flags(link.pointer, UInt32(IFF_UP))
        let request = NetlinkRequest("RTM_NEWLINK") {
            rtnl_link_build_add_request(link.pointer, NLM_F_CREATE | NLM_F_EXCL, &$0)
        }
        try change(request, on: name)
    }

    /// Sets the text that `ip link` shows beside an interface. The kernel ignores an alias in the request that makes
    /// the interface.
    ///
    /// The corresponding request is `RTM_SETLINK`.
    package func setAlias(_ alias: String, ofLink index: Int32) throws(NetlinkError) {
        try change(index) { rtnl_link_set_ifalias($0, alias) }
    }

    /// The corresponding request is `RTM_SETLINK`.
    package func setTransmitQueueLength(_ length: UInt32, ofLink index: Int32) throws(NetlinkError) {
        try change(index) { rtnl_link_set_txqlen($0, length) }
    }

    /// The corresponding request is `RTM_SETLINK`.
    package func setUp(link index: Int32) throws(NetlinkError) {
        try change(index) { rtnl_link_set_flags($0, UInt32(IFF_UP)) }
    }

    /// - Throws: `ENODEV` when there is no such interface.
    ///
    /// The corresponding request is `RTM_DELLINK`.
    package func deleteLink(_ index: Int32) throws(NetlinkError) {
        let link = RouteLink(index: index)
        let request = NetlinkRequest("RTM_DELLINK") { rtnl_link_build_delete_request(link.pointer, &$0) }
        try change(request, on: "interface \(index)")
    }

    /// - Parameter set: Sets, in the `struct rtnl_link`, what shall change.
    private func change(_ index: Int32, _ set: (OpaquePointer) -> Void) throws(NetlinkError) {
        try change(.changeLink(index, set), on: "interface \(index)")
    }
}

extension NetlinkRequest {
    static func changeLink(_ index: Int32, _ set: (OpaquePointer) -> Void) -> NetlinkRequest {
        let link = RouteLink(index: index)
        let changes = RouteLink()
        set(changes.pointer)
        return NetlinkRequest("RTM_SETLINK") {
            rtnl_link_build_change_request(link.pointer, changes.pointer, 0, &$0)
        }
    }

    static func deleteLink(named name: String) -> NetlinkRequest {
        let link = RouteLink()
        rtnl_link_set_name(link.pointer, name)
        return NetlinkRequest("RTM_DELLINK") { rtnl_link_build_delete_request(link.pointer, &$0) }
    }
}
