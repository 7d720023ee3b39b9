internal import CNetlink

/// Requests in the form in which another process may send them, through a socket in the same network namespace.
package enum PreparedRequest {
    package static func deleteFilters(ofKind kind: String, at place: Filter.Place) -> [UInt8] {
        NetlinkRequest.deleteFilters(ofKind: kind, at: place).bytes(sequence: 0)
    }

    package static func listFilters(of interface: Int32, at hook: ClsactHook) -> [UInt8] {
        NetlinkRequest.listFilters(of: interface, at: hook).bytes(sequence: 0)
    }

    package static func deleteClsact(from interface: Int32) -> [UInt8] {
        NetlinkRequest.deleteClsact(from: interface).bytes(sequence: 0)
    }

    package static func deleteLink(named name: String) -> [UInt8] {
        NetlinkRequest.deleteLink(named: name).bytes(sequence: 0)
    }

    package static func setTransmitQueueLength(_ length: UInt32, ofLink index: Int32) -> [UInt8] {
        NetlinkRequest.changeLink(index) { rtnl_link_set_txqlen($0, length) }.bytes(sequence: 0)
    }
}
