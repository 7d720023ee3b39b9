package import LinuxSystem

/// A netlink request that was refused or got no answer.
package struct NetlinkError: Error, Hashable, Sendable {
    /// The request or system call, as `RTM_NEWQDISC`.
    package let call: String
    package let subject: String
    package let errno: Errno
    /// The kernel's own words (extended acknowledgement), where it has some.
    package let kernelMessage: String?

    package init(_ call: String, on subject: String, errno: Errno, kernelMessage: String? = nil) {
        self.call = call
        self.subject = subject
        self.errno = errno
        self.kernelMessage = kernelMessage
    }

    init(_ error: SystemCallError) {
        self.init(error.call, on: error.subject, errno: error.errno)
    }
}

extension NetlinkError: CustomStringConvertible {
    package var description: String {
        "\(call) \(subject): \(errno)" + (kernelMessage.map { " (\($0))" } ?? "")
    }
}
