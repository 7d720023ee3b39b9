internal import CNetlink
internal import Glibc
internal import LinuxSystem

extension NetlinkSocket {
    /// The next hop of packets to an address of 4 or 16 bytes, which may be of the other family; nil when there is none,
    /// or no way there. It costs the same however many routes a target has made.
    ///
    /// The corresponding request is `RTM_GETROUTE`.
    package func gateway(to address: [UInt8]) throws(NetlinkError) -> [UInt8]? {
        var header = rtmsg()
        header.rtm_family = UInt8(address.count == 4 ? AF_INET : AF_INET6)
        header.rtm_dst_len = UInt8(address.count * 8)
        let request = NetlinkRequest("RTM_GETROUTE", type: RTM_GETROUTE, flags: 0, header: header)
        request.put(Int(RTA_DST.rawValue), bytes: address)
        let answer: NetlinkMessage
        do {
            answer = try ask(request, on: "the default route")
        } catch {
            if Self.meansNoRoute.contains(error.errno.rawValue) { return nil }
            throw error
        }
        guard answer.type == RTM_NEWROUTE else { return nil }
        let attributes = answer.attributes(after: rtmsg.self)
        // After the family, in two bytes.
        let other = attributes.bytes(Int(RTA_VIA.rawValue)).map { Array($0.dropFirst(2)) }
        return attributes.bytes(Int(RTA_GATEWAY.rawValue)) ?? other
    }

    /// None, one that refuses, or no IPv6 at all.
    private static let meansNoRoute = [
        ENETUNREACH, EHOSTUNREACH, EACCES, EINVAL, EAFNOSUPPORT, EOPNOTSUPP, ENODEV, ENONET,
    ]
}
