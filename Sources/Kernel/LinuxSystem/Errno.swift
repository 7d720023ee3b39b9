import Glibc

/// An error number of the kernel, with its symbolic name.
package struct Errno: Error, RawRepresentable, Hashable, Sendable {
    package let rawValue: Int32

    package init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// The calling thread's `errno`. Read it before anything else can change it.
    package static var current: Errno { Errno(rawValue: Glibc.errno) }

    package static let noEntry = Errno(rawValue: ENOENT)
    package static let noProcess = Errno(rawValue: ESRCH)
    package static let interrupted = Errno(rawValue: EINTR)
    package static let wouldBlock = Errno(rawValue: EAGAIN)
    package static let permissionDenied = Errno(rawValue: EACCES)
    package static let notPermitted = Errno(rawValue: EPERM)
    package static let exists = Errno(rawValue: EEXIST)
    package static let noDevice = Errno(rawValue: ENODEV)
    package static let noDeviceOrAddress = Errno(rawValue: ENXIO)
    package static let invalidArgument = Errno(rawValue: EINVAL)
    package static let busy = Errno(rawValue: EBUSY)
    package static let notSupported = Errno(rawValue: EOPNOTSUPP)
    package static let notImplemented = Errno(rawValue: ENOSYS)
    package static let noSpace = Errno(rawValue: ENOSPC)
    package static let noChild = Errno(rawValue: ECHILD)
    package static let timedOut = Errno(rawValue: ETIMEDOUT)
    package static let inProgress = Errno(rawValue: EINPROGRESS)
    package static let brokenPipe = Errno(rawValue: EPIPE)
    package static let connectionRefused = Errno(rawValue: ECONNREFUSED)
    package static let noMemory = Errno(rawValue: ENOMEM)
    package static let notDirectory = Errno(rawValue: ENOTDIR)
}

extension Errno: CustomStringConvertible {
    /// What the C library calls it, as in "No such file or directory".
    package var description: String { String(cString: strerror(rawValue)) }
}
