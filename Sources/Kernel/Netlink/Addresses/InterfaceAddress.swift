internal import CNetlink

/// An address of an interface as the kernel lists it.
package struct InterfaceAddress: Hashable, Sendable {
    package let interface: Int32
    /// 4 or 16 bytes.
    package let address: [UInt8]
    /// Others than those on the same link can reach it.
    package let isGlobal: Bool
}

extension InterfaceAddress {
    init?(_ message: NetlinkMessage) {
        guard message.type == RTM_NEWADDR, let header = message.header(ifaddrmsg.self) else { return nil }
        let attributes = message.attributes(after: ifaddrmsg.self)
        // On a point-to-point link the other attribute is the other end's.
        guard let address = attributes.bytes(Int(IFA_LOCAL)) ?? attributes.bytes(Int(IFA_ADDRESS)) else { return nil }
        self.interface = Int32(bitPattern: header.ifa_index)
        self.address = address
        self.isGlobal = header.ifa_scope < RT_SCOPE_LINK.rawValue
    }
}

extension NetlinkSocket {
    /// The IPv4 and IPv6 addresses of all interfaces of the namespace.
    ///
    /// The corresponding request is `RTM_GETADDR`.
    package func addresses() throws(NetlinkError) -> [InterfaceAddress] {
        let request = NetlinkRequest("RTM_GETADDR", type: RTM_GETADDR, flags: NLM_F_DUMP, header: ifaddrmsg())
        return try dump(request, on: "addresses", InterfaceAddress.init)
    }
}
