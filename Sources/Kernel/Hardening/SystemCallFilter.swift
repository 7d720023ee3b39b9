internal import CLibseccomp
internal import Glibc
package import LinuxSystem

/// The system calls that a program may make: those of its rules. Every other one fails with `EPERM`, unless told otherwise.
package struct SystemCallFilter: Sendable {
    package let name: String
    package let rules: [SystemCallRule]
    private let allowsOthers: Bool

    package init(name: String, rules: [SystemCallRule], allowsOthers: Bool = false) {
        self.name = name
        self.rules = rules
        self.allowsOthers = allowsOthers
    }

    /// Puts the filter on every thread of this process, and on all that come from it. There is no way back.
    ///
    /// The corresponding system call is `seccomp(2)` with `SECCOMP_FILTER_FLAG_TSYNC`.
    package func load() throws(SystemCallFilterError) {
        let otherwise = allowsOthers ? UInt32(SCMP_ACT_ALLOW) : Self.fail(with: EPERM)
        guard let context = seccomp_init(otherwise) else { throw .libseccomp("seccomp_init", .noMemory) }
        defer { seccomp_release(context) }
        try check("seccomp_attr_set", seccomp_attr_set(context, SCMP_FLTATR_CTL_TSYNC, 1))
        for rule in rules { try add(rule, to: context) }
        try check("seccomp_load", seccomp_load(context))
    }

    private func add(_ rule: SystemCallRule, to context: scmp_filter_ctx) throws(SystemCallFilterError) {
        let number = seccomp_syscall_resolve_name(rule.name)
        if number == __NR_SCMP_ERROR {
            if rule.isOptional { return }
            throw .unknownCall(rule.name)
        }
        let action =
            switch rule.action {
            case .allow: UInt32(SCMP_ACT_ALLOW)
            case .fail(let errno): Self.fail(with: errno.rawValue)
            }
        let conditions = rule.conditions.map {
            scmp_arg_cmp(arg: $0.index, op: SCMP_CMP_MASKED_EQ, datum_a: $0.mask, datum_b: $0.value)
        }
        try check(
            "seccomp_rule_add \(rule.name)",
            seccomp_rule_add_array(context, action, number, UInt32(conditions.count), conditions))
    }

    private func check(_ call: String, _ result: Int32) throws(SystemCallFilterError) {
        if result != 0 { throw .libseccomp(call, Errno(rawValue: -result)) }
    }

    /// `SCMP_ACT_ERRNO`, a macro that Swift does not see.
    private static func fail(with errno: Int32) -> UInt32 { 0x0005_0000 | UInt32(errno) }
}

/// Why a filter is not in force.
package enum SystemCallFilterError: Error, Hashable, Sendable {
    case unknownCall(String)
    case libseccomp(String, Errno)
}

extension SystemCallFilterError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .unknownCall(let name): "libseccomp does not know the system call \(name)"
        case .libseccomp(let call, let errno): "\(call): \(errno)"
        }
    }
}
