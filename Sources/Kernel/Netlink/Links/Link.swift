internal import CNetlink
internal import Glibc

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
        guard message.type == RTM_NEWLINK, let header = message.header(ifinfomsg.self) else { return nil }
        let attributes = message.attributes(after: ifinfomsg.self)
        guard let name = attributes.string(IFLA_IFNAME) else { return nil }
        self.index = header.ifi_index
        self.name = name
        self.kind = attributes.nested(IFLA_LINKINFO)?.string(IFLA_INFO_KIND)
        self.isUp = header.ifi_flags & UInt32(IFF_UP) != 0
        self.isLoopback = header.ifi_flags & UInt32(IFF_LOOPBACK) != 0
        self.master = attributes.value(IFLA_MASTER, as: Int32.self)
        self.alias = attributes.string(IFLA_IFALIAS)
        self.mtu = attributes.value(IFLA_MTU, as: UInt32.self) ?? 0
        self.transmitQueueLength = attributes.value(IFLA_TXQLEN, as: UInt32.self) ?? 0
    }
}

extension NetlinkSocket {
    /// All interfaces of the namespace.
    ///
    /// The corresponding request is `RTM_GETLINK`.
    package func links() throws(NetlinkError) -> [Link] {
        let request = NetlinkRequest("RTM_GETLINK", type: RTM_GETLINK, flags: NLM_F_DUMP, header: ifinfomsg())
        return try dump(request, on: "links", Link.init)
    }

    /// Makes an intermediate functional block, up from the start: what is redirected to it passes its qdisc and then
    /// goes on where it was going. It has one queue, so that a root qdisc takes all of its packets. Its MTU does not
    /// matter, since redirection does not look at it, nor its queue length, since netem has a limit of its own.
    ///
    /// - Throws: `EEXIST` when an interface has that name.
    ///
    /// The corresponding request is `RTM_NEWLINK`.
    package func addIFB(named name: String) throws(NetlinkError) {
        var header = ifinfomsg()
        header.ifi_flags = UInt32(IFF_UP)
        header.ifi_change = UInt32(IFF_UP)
        let request = NetlinkRequest(
            "RTM_NEWLINK", type: RTM_NEWLINK, flags: NLM_F_CREATE | NLM_F_EXCL, header: header)
        request.put(IFLA_IFNAME, string: name)
        request.put(IFLA_NUM_TX_QUEUES, UInt32(1))
        request.nest(IFLA_LINKINFO) {
            request.put(IFLA_INFO_KIND, string: "ifb")
        }
        try change(request, on: name)
    }

    /// Sets the text that `ip link` shows beside an interface. The kernel ignores an alias in the request that makes
    /// the interface.
    ///
    /// The corresponding request is `RTM_SETLINK`.
    package func setAlias(_ alias: String, ofLink index: Int32) throws(NetlinkError) {
        var header = ifinfomsg()
        header.ifi_index = index
        let request = NetlinkRequest("RTM_SETLINK", type: RTM_SETLINK, flags: 0, header: header)
        // Without the terminating zero: the kernel would count it in.
        request.put(IFLA_IFALIAS, bytes: Array(alias.utf8))
        try change(request, on: "interface \(index)")
    }

    /// The corresponding request is `RTM_SETLINK`.
    package func setTransmitQueueLength(_ length: UInt32, ofLink index: Int32) throws(NetlinkError) {
        var header = ifinfomsg()
        header.ifi_index = index
        let request = NetlinkRequest("RTM_SETLINK", type: RTM_SETLINK, flags: 0, header: header)
        request.put(IFLA_TXQLEN, length)
        try change(request, on: "interface \(index)")
    }

    /// The corresponding request is `RTM_SETLINK`.
    package func setUp(link index: Int32) throws(NetlinkError) {
        var header = ifinfomsg()
        header.ifi_index = index
        header.ifi_flags = UInt32(IFF_UP)
        header.ifi_change = UInt32(IFF_UP)
        try change(
            NetlinkRequest("RTM_SETLINK", type: RTM_SETLINK, flags: 0, header: header), on: "interface \(index)")
    }

    /// - Throws: `ENODEV` when there is no such interface.
    ///
    /// The corresponding request is `RTM_DELLINK`.
    package func deleteLink(_ index: Int32) throws(NetlinkError) {
        var header = ifinfomsg()
        header.ifi_index = index
        try change(
            NetlinkRequest("RTM_DELLINK", type: RTM_DELLINK, flags: 0, header: header), on: "interface \(index)")
    }
}
