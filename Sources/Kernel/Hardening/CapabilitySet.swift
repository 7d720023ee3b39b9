internal import CLibcap
internal import Glibc
package import LinuxSystem

/// A set of Linux capabilities.
package struct CapabilitySet: OptionSet, Hashable, Sendable {
    /// The kernel's mask: bit n is capability number n.
    package let rawValue: UInt64

    package init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    private init(number: Int32) {
        self.init(rawValue: 1 << UInt64(number))
    }

    package static let dacOverride = CapabilitySet(number: CAP_DAC_OVERRIDE)
    package static let dacReadSearch = CapabilitySet(number: CAP_DAC_READ_SEARCH)
    package static let fileOwner = CapabilitySet(number: CAP_FOWNER)
    package static let kill = CapabilitySet(number: CAP_KILL)
    package static let netAdmin = CapabilitySet(number: CAP_NET_ADMIN)
    package static let netRaw = CapabilitySet(number: CAP_NET_RAW)
    package static let setGID = CapabilitySet(number: CAP_SETGID)
    package static let setPCap = CapabilitySet(number: CAP_SETPCAP)
    package static let setUID = CapabilitySet(number: CAP_SETUID)
    package static let sysAdmin = CapabilitySet(number: CAP_SYS_ADMIN)
    package static let sysChroot = CapabilitySet(number: CAP_SYS_CHROOT)
    package static let sysPtrace = CapabilitySet(number: CAP_SYS_PTRACE)
    package static let sysResource = CapabilitySet(number: CAP_SYS_RESOURCE)
    package static let sysTime = CapabilitySet(number: CAP_SYS_TIME)
}

extension CapabilitySet: CustomStringConvertible {
    /// The names of its members as `cap_net_admin`, those without a name as numbers.
    package var names: [String] {
        (cap_value_t(0)..<64).filter { rawValue >> UInt64($0) & 1 == 1 }.map { number in
            guard let name = cap_to_name(number) else { return "\(number)" }
            defer { cap_free(name) }
            return String(cString: name)
        }
    }

    package var description: String { isEmpty ? "none" : names.joined(separator: ", ") }
}

extension CapabilitySet {
    /// What the calling thread may use now.
    ///
    /// The corresponding calls are `capget(2)` and `cap_get_flag(3)`.
    package static func effective() throws(SystemCallError) -> CapabilitySet { try current(CAP_EFFECTIVE) }

    /// What the calling thread may make effective.
    package static func permitted() throws(SystemCallError) -> CapabilitySet { try current(CAP_PERMITTED) }

    /// What a program that the calling thread executes can have at most.
    ///
    /// The corresponding system call is `prctl(2)` with `PR_CAPBSET_READ`.
    package static func bounding() -> CapabilitySet {
        CapabilitySet(rawValue: (cap_value_t(0)..<64).reduce(0) { cap_get_bound($1) == 1 ? $0 | 1 << UInt64($1) : $0 })
    }

    /// Those of this set that the calling thread lacks.
    package func missing() throws(SystemCallError) -> CapabilitySet {
        subtracting(try Self.effective())
    }

    /// Gives up everything else for good: the permitted, effective and bounding set become at most this one, the
    /// inheritable and ambient set empty. Capabilities belong to threads: call it before there is a second one.
    ///
    /// The corresponding calls are `cap_drop_bound(3)`, `cap_reset_ambient(3)` and `capset(2)`.
    package func keepOnlyThese() throws(SystemCallError) {
        for number in Int32(0)..<64 where !contains(CapabilitySet(number: number)) && cap_get_bound(number) == 1 {
            try systemCall("prctl PR_CAPBSET_DROP", on: CapabilitySet(number: number).description) {
                cap_drop_bound(number)
            }
        }
        try systemCall("prctl PR_CAP_AMBIENT_CLEAR_ALL", on: "this thread") { cap_reset_ambient() }
        let kept = intersection(try Self.permitted())
        guard let state = cap_init() else { throw SystemCallError("cap_init", on: "this thread", errno: .current) }
        defer { cap_free(UnsafeMutableRawPointer(state)) }
        let numbers = (cap_value_t(0)..<64).filter { kept.contains(CapabilitySet(number: $0)) }
        for flag in [CAP_PERMITTED, CAP_EFFECTIVE] where !numbers.isEmpty {
            try systemCall("cap_set_flag", on: kept.description) {
                cap_set_flag(state, flag, Int32(numbers.count), numbers, CAP_SET)
            }
        }
        try systemCall("capset", on: kept.description) { cap_set_proc(state) }
    }

    private static func current(_ flag: cap_flag_t) throws(SystemCallError) -> CapabilitySet {
        guard let state = cap_get_proc() else {
            throw SystemCallError("capget", on: "this thread", errno: .current)
        }
        defer { cap_free(UnsafeMutableRawPointer(state)) }
        var set: CapabilitySet = []
        for number in cap_value_t(0)..<64 {
            var value = CAP_CLEAR
            // EINVAL: a number beyond those that the kernel knows.
            if cap_get_flag(state, number, flag, &value) == 0, value == CAP_SET {
                set.insert(CapabilitySet(number: number))
            }
        }
        return set
    }
}
