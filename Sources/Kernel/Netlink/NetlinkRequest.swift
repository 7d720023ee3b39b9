internal import CNetlink

/// A request under construction. libnl keeps lengths, padding and nesting.
struct NetlinkRequest: ~Copyable {
    let call: String
    private let message: OpaquePointer

    /// One page, which no request fills but one with a table of delays.
    private static let capacity = 4096

    /// - Parameters:
    ///   - header: What precedes the attributes, as `ifinfomsg` or `tcmsg`.
    ///   - extra: Bytes of attributes for which a page is too short.
    init<Header: BitwiseCopyable>(_ call: String, type: Int, flags: Int32, header: Header, extra: Int = 0) {
        guard let message = nlmsg_alloc_size(Self.capacity + extra) else {
            fatalError("no memory for a netlink message")
        }
        self.call = call
        self.message = message
        nlmsg_put(message, 0, 0, Int32(type), 0, flags | NLM_F_REQUEST | NLM_F_ACK)
        append(header)
    }

    /// A request that libnl-route made of one of its objects.
    ///
    /// - Parameter build: Allocates the message and returns its status, as `rtnl_link_build_add_request` does.
    init(_ call: String, build: (_ message: inout OpaquePointer?) -> Int32) {
        var built: OpaquePointer?
        let status = build(&built)
        guard let message = built, let header = nlmsg_hdr(message) else {
            fatalError("libnl-route cannot build \(call): status \(status)")
        }
        self.call = call
        self.message = message
        header.pointee.nlmsg_flags |= UInt16(NLM_F_REQUEST | NLM_F_ACK)
    }

    deinit { nlmsg_free(message) }

    /// Appends a struct that is no attribute.
    func append<Value: BitwiseCopyable>(_ value: Value) {
        withUnsafeBytes(of: value) {
            let data = UnsafeMutableRawPointer(mutating: $0.baseAddress)
            require(nlmsg_append(message, data, $0.count, Int32(NLMSG_ALIGNTO)))
        }
    }

    func put<Value: BitwiseCopyable>(_ attribute: Int, _ value: Value) {
        withUnsafeBytes(of: value) { put(attribute, $0) }
    }

    func put(_ attribute: Int, bytes: [UInt8]) {
        bytes.withUnsafeBytes { put(attribute, $0) }
    }

    func put(_ attribute: Int, string: String) {
        require(nla_put_string(message, Int32(attribute), string))
    }

    /// Attributes nest by closure, so that none stays open.
    func nest(_ attribute: Int, _ body: () -> Void) {
        guard let start = nla_nest_start(message, Int32(attribute)) else {
            preconditionFailure("\(call) does not fit into its buffer")
        }
        body()
        require(nla_nest_end(message, start))
    }

    /// The finished message under its sequence number.
    func bytes(sequence: UInt32) -> [UInt8] {
        guard let header = nlmsg_hdr(message) else { preconditionFailure("a netlink message without a header") }
        header.pointee.nlmsg_seq = sequence
        return Array(UnsafeRawBufferPointer(start: header, count: Int(header.pointee.nlmsg_len)))
    }

    private func put(_ attribute: Int, _ bytes: UnsafeRawBufferPointer) {
        require(nla_put(message, Int32(attribute), Int32(bytes.count), bytes.baseAddress))
    }

    private func require(_ status: Int32) {
        precondition(status >= 0, "\(call) does not fit into its buffer")
    }
}
