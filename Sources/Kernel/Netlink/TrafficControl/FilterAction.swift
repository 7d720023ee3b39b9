internal import CNetlink

/// What becomes of a packet that a filter matches.
package struct FilterAction: Hashable, Sendable {
    package let verb: Verb
    /// Up to 16 bytes by which its owner knows it again.
    package let cookie: [UInt8]

    package enum Verb: Hashable, Sendable {
        /// Send it out through another interface. 0 is one that is gone: then the packet is dropped.
        case redirect(to: Int32)
        /// Ask the filters that follow.
        case `continue`
        /// Let it go where it was going, whatever filters follow.
        case pass
        /// Ask the filters of another chain, and none that follow; a packet that meets none of those goes where it was going.
        case enter(chain: UInt32)
        case other(kind: String)
    }

    package init(_ verb: Verb, cookie: [UInt8]) {
        precondition(cookie.count <= TC_COOKIE_MAX_SIZE)
        self.verb = verb
        self.cookie = cookie
    }
}

extension FilterAction {
    /// Actions are numbered from 1.
    static func actions(_ list: NetlinkAttributes) -> [FilterAction] {
        list.types.sorted().compactMap { list.nested($0).flatMap(FilterAction.init) }
    }

    private init?(_ attributes: NetlinkAttributes) {
        guard let kind = attributes.string(TCA_ACT_KIND) else { return nil }
        verb = attributes.nested(TCA_ACT_OPTIONS).flatMap { Verb(kind, $0) } ?? .other(kind: kind)
        cookie = attributes.bytes(TCA_ACT_COOKIE) ?? []
    }

    /// Writes the only action of a filter.
    func write(to request: borrowing NetlinkRequest, as list: Int) {
        request.nest(list) {
            request.nest(1) {
                request.put(TCA_ACT_COOKIE, bytes: cookie)
                verb.write(to: request)
            }
        }
    }
}

extension FilterAction.Verb {
    fileprivate init?(_ kind: String, _ options: NetlinkAttributes) {
        switch kind {
        case "mirred":
            guard let parameters = options.value(TCA_MIRRED_PARMS, as: tc_mirred.self),
                parameters.eaction == TCA_EGRESS_REDIR
            else { return nil }
            self = .redirect(to: Int32(bitPattern: parameters.ifindex))
        case "gact":
            switch options.value(TCA_GACT_PARMS, as: tc_gact.self)?.action {
            case TC_ACT_UNSPEC: self = .continue
            case TC_ACT_OK: self = .pass
            case .some(let action) where UInt32(bitPattern: action) & ~Self.chains == Self.enterChain:
                self = .enter(chain: UInt32(bitPattern: action) & Self.chains)
            default: return nil
            }
        default: return nil
        }
    }

    fileprivate func write(to request: borrowing NetlinkRequest) {
        switch self {
        case .redirect(let interface):
            var parameters = tc_mirred()
            parameters.action = TC_ACT_STOLEN
            parameters.eaction = TCA_EGRESS_REDIR
            parameters.ifindex = UInt32(bitPattern: interface)
            request.put(TCA_ACT_KIND, string: "mirred")
            request.nest(TCA_ACT_OPTIONS) { request.put(TCA_MIRRED_PARMS, parameters) }
        case .continue: Self.write(verdict: TC_ACT_UNSPEC, to: request)
        case .pass: Self.write(verdict: TC_ACT_OK, to: request)
        case .enter(let chain): Self.write(verdict: Int32(bitPattern: Self.enterChain | chain), to: request)
        case .other(let kind):
            preconditionFailure("\(kind) is read, never written")
        }
    }

    /// `TC_ACT_GOTO_CHAIN`, a macro that Swift does not see.
    private static let enterChain: UInt32 = 2 << 28
    /// The numbers that a chain can have.
    fileprivate static let chains: UInt32 = (1 << 28) - 1

    private static func write(verdict: Int32, to request: borrowing NetlinkRequest) {
        var parameters = tc_gact()
        parameters.action = verdict
        request.put(TCA_ACT_KIND, string: "gact")
        request.nest(TCA_ACT_OPTIONS) { request.put(TCA_GACT_PARMS, parameters) }
    }
}
