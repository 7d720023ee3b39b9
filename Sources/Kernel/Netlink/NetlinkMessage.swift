internal import CNetlink

/// One message as it was received.
struct NetlinkMessage {
    let type: Int
    let flags: Int32
    let sequence: UInt32
    /// Everything after the netlink header.
    let payload: [UInt8]

    /// The messages of one datagram. What does not parse is left out.
    static func messages(in datagram: [UInt8]) -> [NetlinkMessage] {
        datagram.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return [] }
            var messages: [NetlinkMessage] = []
            var left = Int32(bytes.count)
            // libnl reads through a pointer to mutable messages and changes nothing.
            var next = UnsafeMutablePointer(mutating: base.assumingMemoryBound(to: nlmsghdr.self))
            while nlmsg_ok(next, left) != 0, let data = nlmsg_data(next) {
                messages.append(
                    NetlinkMessage(
                        type: Int(next.pointee.nlmsg_type), flags: Int32(next.pointee.nlmsg_flags),
                        sequence: next.pointee.nlmsg_seq,
                        payload: Array(UnsafeRawBufferPointer(start: data, count: Int(nlmsg_datalen(next))))))
                guard let following = nlmsg_next(next, &left) else { break }
                next = following
            }
            return messages
        }
    }

    /// The struct before the attributes; nil when the message is too short for it.
    func header<Header: BitwiseCopyable>(_ type: Header.Type) -> Header? {
        payload.withUnsafeBytes {
            $0.count < MemoryLayout<Header>.size ? nil : $0.loadUnaligned(as: Header.self)
        }
    }

    func attributes<Header: BitwiseCopyable>(after type: Header.Type) -> NetlinkAttributes {
        NetlinkAttributes(payload.dropFirst(MemoryLayout<Header>.size))
    }
}

/// Attributes by type. Where a type occurs twice, the last one counts, as with the kernel.
struct NetlinkAttributes {
    private var payloads: [Int: [UInt8]] = [:]

    init(_ bytes: some Sequence<UInt8>) {
        Array(bytes).withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            var left = Int32(bytes.count)
            var next = UnsafePointer(base.assumingMemoryBound(to: nlattr.self))
            while nla_ok(next, left) != 0, let data = nla_data(next) {
                payloads[Int(nla_type(next))] = Array(UnsafeRawBufferPointer(start: data, count: Int(nla_len(next))))
                guard let following = nla_next(next, &left) else { break }
                next = UnsafePointer(following)
            }
        }
    }

    var types: Set<Int> { Set(payloads.keys) }

    func bytes(_ attribute: Int) -> [UInt8]? { payloads[attribute] }

    func value<Value: BitwiseCopyable>(_ attribute: Int, as type: Value.Type) -> Value? {
        payloads[attribute]?.withUnsafeBytes {
            $0.count < MemoryLayout<Value>.size ? nil : $0.loadUnaligned(as: Value.self)
        }
    }

    func string(_ attribute: Int) -> String? {
        payloads[attribute].map { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    func nested(_ attribute: Int) -> NetlinkAttributes? {
        payloads[attribute].map(NetlinkAttributes.init)
    }
}
