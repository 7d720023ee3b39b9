package import LinuxSystem

/// One line of a filter: a system call, what becomes of it, and why.
package struct SystemCallRule: Hashable, Sendable {
    package enum Action: Hashable, Sendable {
        case allow
        case fail(Errno)
    }

    /// A condition on an argument's bits: those in the mask have this value.
    package struct Argument: Hashable, Sendable {
        package let index: UInt32
        package let mask: UInt64
        package let value: UInt64

        package static func argument(_ index: UInt32, is value: Int32) -> Argument {
            // An int fills only half of its register, and what the other half holds is anybody's choice.
            Argument(index: index, mask: 0xffff_ffff, value: UInt64(UInt32(bitPattern: value)))
        }

        package static func argument(_ index: UInt32, lacks bits: UInt64) -> Argument {
            Argument(index: index, mask: bits, value: 0)
        }

        package static func argument(_ index: UInt32, has bits: UInt64) -> Argument {
            Argument(index: index, mask: bits, value: bits)
        }
    }

    package let name: String
    package let action: Action
    /// All of them must hold; several rules for one call are alternatives.
    package let conditions: [Argument]
    package let reason: String
    /// Left out where the kernel interface or libseccomp does not know the call.
    package let isOptional: Bool

    package static func allow(
        _ name: String, when conditions: Argument..., because reason: String
    ) -> SystemCallRule {
        SystemCallRule(name: name, action: .allow, conditions: conditions, reason: reason, isOptional: false)
    }

    /// A call that older versions of libseccomp, or other processors, do not have.
    package static func allowIfKnown(_ name: String, because reason: String) -> SystemCallRule {
        SystemCallRule(name: name, action: .allow, conditions: [], reason: reason, isOptional: true)
    }

    /// Another error than "not permitted", for callers that then take another way.
    package static func fail(_ name: String, with errno: Errno, because reason: String) -> SystemCallRule {
        SystemCallRule(name: name, action: .fail(errno), conditions: [], reason: reason, isOptional: true)
    }
}
