internal import CNetlink
internal import LinuxSystem

/// The two places where clsact looks at packets.
package enum ClsactHook: Hashable, Sendable, CaseIterable {
    case ingress
    case egress

    var parent: UInt32 {
        let minor =
            switch self {
            case .ingress: TC_H_MIN_INGRESS
            case .egress: TC_H_MIN_EGRESS
            }
        return Qdisc.clsactHandle | UInt32(minor)
    }
}

/// What a frame carries, in the host's byte order.
package struct EtherType: Hashable, Sendable {
    package let rawValue: UInt16

    package static let ipv4 = EtherType(rawValue: UInt16(ETH_P_IP))
    package static let ipv6 = EtherType(rawValue: UInt16(ETH_P_IPV6))
    package static let all = EtherType(rawValue: UInt16(ETH_P_ALL))
}

/// A filter as the kernel lists it.
package struct Filter: Hashable, Sendable {
    package let place: Place
    /// Its name within its place. 0 stands for the place itself, which the kernel lists before its filters.
    package let handle: UInt32
    package let kind: String
    /// Of a program, as who made the filter called it.
    package let name: String?
    /// Nil where it is not known: of other kinds than flower and matchall, and where flower looks at more than we do.
    package let match: FlowerMatch?
    package let actions: [FilterAction]

    /// Where filters of one kind are asked one after the other.
    package struct Place: Hashable, Sendable {
        package let interface: Int32
        package let hook: ClsactHook
        /// Smaller numbers are asked first. The kernel lets one hold only one kind and one EtherType.
        package let preference: UInt16
        package let etherType: EtherType
        /// 0 is asked; any other only when a filter leads there.
        package let chain: UInt32

        package init(
            interface: Int32, hook: ClsactHook, preference: UInt16, etherType: EtherType, chain: UInt32 = 0
        ) {
            self.chain = chain
            self.interface = interface
            self.hook = hook
            self.preference = preference
            self.etherType = etherType
        }
    }
}

extension Filter {
    init?(_ message: NetlinkMessage, hook: ClsactHook) {
        guard message.type == RTM_NEWTFILTER, let header = message.header(tcmsg.self) else { return nil }
        let attributes = message.attributes(after: tcmsg.self)
        guard let kind = attributes.string(TCA_KIND) else { return nil }
        let options = attributes.nested(TCA_OPTIONS)
        self.place = Place(header, hook: hook, chain: attributes.value(TCA_CHAIN, as: UInt32.self) ?? 0)
        self.handle = header.tcm_handle
        self.kind = kind
        self.name = kind == "bpf" ? options?.string(TCA_BPF_NAME) : nil
        switch kind {
        case "flower":
            match = options.flatMap(FlowerMatch.init)
            actions = options?.nested(TCA_FLOWER_ACT).map(FilterAction.actions) ?? []
        case "matchall":
            match = .everything
            actions = options?.nested(TCA_MATCHALL_ACT).map(FilterAction.actions) ?? []
        case "bpf":
            match = nil
            actions = options?.nested(TCA_BPF_ACT).map(FilterAction.actions) ?? []
        default:
            match = nil
            actions = []
        }
    }
}

extension Filter.Place {
    /// The kernel keeps preference and EtherType in one number, the latter in network order.
    fileprivate init(_ header: tcmsg, hook: ClsactHook, chain: UInt32) {
        self.init(
            interface: header.tcm_ifindex, hook: hook, preference: UInt16(header.tcm_info >> 16),
            etherType: EtherType(rawValue: UInt16(bigEndian: UInt16(truncatingIfNeeded: header.tcm_info))),
            chain: chain)
    }

    fileprivate func header(handle: UInt32) -> tcmsg {
        var header = tcmsg()
        header.tcm_ifindex = interface
        header.tcm_parent = hook.parent
        header.tcm_info = UInt32(preference) << 16 | UInt32(etherType.rawValue.bigEndian)
        header.tcm_handle = handle
        return header
    }

    fileprivate var subject: String {
        "\(hook) preference \(preference)\(chain == 0 ? "" : " chain \(chain)") of interface \(interface)"
    }
}

extension NetlinkSocket {
    /// The filters at a hook, in the order in which they are asked. There are none where there is no clsact, and on an
    /// interface that does not exist: the kernel tells no difference.
    ///
    /// The corresponding request is `RTM_GETTFILTER`.
    package func filters(of interface: Int32, at hook: ClsactHook) throws(NetlinkError) -> [Filter] {
        let listed = try dump(.listFilters(of: interface, at: hook), on: "\(hook) of interface \(interface)") {
            Filter($0, hook: hook)
        }
        // As many as a target likes to have: each place is looked for once.
        let filled = Set(listed.filter { $0.handle != 0 }.map(\.place))
        var filters: [Filter] = []
        for filter in listed {
            filters.append(filter)
            let isPlace = filter.handle == 0 && filter.kind == "matchall"
            if isPlace, !filled.contains(filter.place), let lost = try matchall(at: filter.place) {
                filters.append(lost)
            }
        }
        return filters
    }

    /// The one that a place can have, by itself: of a list the kernel leaves it out where it did not fit into a datagram any
    /// more, and lists only its place (`mall_walk()` counts what it could not write).
    ///
    /// The corresponding request is `RTM_GETTFILTER`.
    private func matchall(at place: Filter.Place) throws(NetlinkError) -> Filter? {
        // The kernel's choice when none is asked for.
        let request = NetlinkRequest(
            "RTM_GETTFILTER", type: RTM_GETTFILTER, flags: 0, header: place.header(handle: 1))
        request.put(TCA_KIND, string: "matchall")
        request.put(TCA_CHAIN, place.chain)
        do throws(NetlinkError) {
            return Filter(try ask(request, on: place.subject), hook: place.hook)
        } catch let error where error.errno == .noEntry {
            return nil
        }
    }

    /// Adds a flower filter, or puts a new action into the one that has the given handle and matches the same, with no
    /// packet slipping through.
    ///
    /// - Throws: `EEXIST` when the place has a filter that matches the same under another handle, `EINVAL` when the preference belongs to
    ///   another kind or EtherType or there is no clsact, `ENODEV` when there is no such interface.
    ///
    /// The corresponding request is `RTM_NEWTFILTER`.
    package func setFlower(
        at place: Filter.Place, matching match: FlowerMatch = .everything, handle: UInt32? = nil, action: FilterAction
    ) throws(NetlinkError) {
        let flags = handle == nil ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_CREATE
        let request = NetlinkRequest(
            "RTM_NEWTFILTER", type: RTM_NEWTFILTER, flags: flags, header: place.header(handle: handle ?? 0))
        request.put(TCA_KIND, string: "flower")
        request.put(TCA_CHAIN, place.chain)
        request.nest(TCA_OPTIONS) {
            request.put(TCA_FLOWER_KEY_ETH_TYPE, place.etherType.rawValue.bigEndian)
            match.write(to: request)
            request.put(TCA_FLOWER_FLAGS, UInt32(TCA_CLS_FLAGS_SKIP_HW))
            action.write(to: request, as: TCA_FLOWER_ACT)
        }
        try change(request, on: place.subject)
    }

    /// Adds a filter that matches every packet.
    ///
    /// The corresponding request is `RTM_NEWTFILTER`.
    package func addMatchall(at place: Filter.Place, action: FilterAction) throws(NetlinkError) {
        let request = NetlinkRequest(
            "RTM_NEWTFILTER", type: RTM_NEWTFILTER, flags: NLM_F_CREATE | NLM_F_EXCL, header: place.header(handle: 0))
        request.put(TCA_KIND, string: "matchall")
        request.put(TCA_CHAIN, place.chain)
        request.nest(TCA_OPTIONS) {
            request.put(TCA_MATCHALL_FLAGS, UInt32(TCA_CLS_FLAGS_SKIP_HW))
            action.write(to: request, as: TCA_MATCHALL_ACT)
        }
        try change(request, on: place.subject)
    }

    /// Adds a filter that matches what processes of a cgroup, and of those below it, send.
    ///
    /// - Parameter name: By which its owner knows it again.
    /// - Throws: `ENOSPC` when more cgroups are looked for than there are programs.
    ///
    /// The corresponding request is `RTM_NEWTFILTER`.
    package func addClassifier(
        of cgroup: UInt64, named name: String, at place: Filter.Place, among classifiers: CgroupClassifiers,
        action: FilterAction
    ) throws(NetlinkError) {
        guard let program = classifiers.program(for: cgroup) else {
            throw NetlinkError("RTM_NEWTFILTER", on: place.subject, errno: .noSpace)
        }
        let request = NetlinkRequest(
            "RTM_NEWTFILTER", type: RTM_NEWTFILTER, flags: NLM_F_CREATE | NLM_F_EXCL, header: place.header(handle: 0))
        request.put(TCA_KIND, string: "bpf")
        request.put(TCA_CHAIN, place.chain)
        request.nest(TCA_OPTIONS) {
            request.put(TCA_BPF_FD, program)
            request.put(TCA_BPF_NAME, string: name)
            request.put(TCA_BPF_FLAGS_GEN, UInt32(TCA_CLS_FLAGS_SKIP_HW))
            action.write(to: request, as: TCA_BPF_ACT)
        }
        try change(request, on: place.subject)
    }

    /// - Throws: `ENOENT` when there is no such filter, `EINVAL` when there is no clsact, `ENODEV` when there is no
    ///   such interface.
    ///
    /// The corresponding request is `RTM_DELTFILTER`.
    package func delete(_ filter: Filter) throws(NetlinkError) {
        try change(
            .deleteFilters(ofKind: filter.kind, at: filter.place, handle: filter.handle), on: filter.place.subject)
    }
}

extension NetlinkRequest {
    static func listFilters(of interface: Int32, at hook: ClsactHook) -> NetlinkRequest {
        var header = tcmsg()
        header.tcm_ifindex = interface
        header.tcm_parent = hook.parent
        return NetlinkRequest("RTM_GETTFILTER", type: RTM_GETTFILTER, flags: NLM_F_DUMP, header: header)
    }

    /// - Parameter handle: 0 for all filters of the place.
    static func deleteFilters(ofKind kind: String, at place: Filter.Place, handle: UInt32 = 0) -> NetlinkRequest {
        let request = NetlinkRequest(
            "RTM_DELTFILTER", type: RTM_DELTFILTER, flags: 0, header: place.header(handle: handle))
        request.put(TCA_KIND, string: kind)
        request.put(TCA_CHAIN, place.chain)
        return request
    }
}
