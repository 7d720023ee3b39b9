internal import CNetlink
internal import Glibc

/// Interface attributes in the form in which libnl-route reads and writes them (`struct rtnl_link`).
struct RouteLink: ~Copyable {
    let pointer: OpaquePointer

    private init(adopting pointer: OpaquePointer) { self.pointer = pointer }

    /// No attribute is set.
    init() {
        guard let pointer = rtnl_link_alloc() else { fatalError("no memory for a link") }
        self.init(adopting: pointer)
    }

    /// Only names the interface that a request is about.
    init(index: Int32) {
        self.init()
        rtnl_link_set_ifindex(pointer, index)
    }

    /// Nil when the message is not about a link.
    init?(_ message: NetlinkMessage) {
        guard message.type == RTM_NEWLINK, let received = message.copyForLibnl() else { return nil }
        defer { nlmsg_free(received) }
        var link: OpaquePointer?
        _ = withUnsafeMutablePointer(to: &link) {
            nl_msg_parse(
                received,
                { object, found in
                    nl_object_get(object)
                    found?.assumingMemoryBound(to: OpaquePointer?.self).pointee = object
                }, $0)
        }
        guard let link else { return nil }
        self.init(adopting: link)
    }

    deinit { rtnl_link_put(pointer) }
}

extension NetlinkMessage {
    /// The message as a `struct nl_msg`; nil without memory.
    fileprivate func copyForLibnl() -> OpaquePointer? {
        guard let message = nlmsg_alloc_size(payload.count + Int(nlmsg_total_size(0))) else { return nil }
        nlmsg_put(message, 0, sequence, Int32(type), 0, flags)
        let status = payload.withUnsafeBytes {
            nlmsg_append(message, UnsafeMutableRawPointer(mutating: $0.baseAddress), $0.count, Int32(NLMSG_ALIGNTO))
        }
        guard status >= 0 else {
            nlmsg_free(message)
            return nil
        }
        nlmsg_set_proto(message, NETLINK_ROUTE)
        return message
    }
}
