/// A system call that the kernel refused: which call, on what, and why.
package struct SystemCallError: Error, Hashable, Sendable {
    package let call: String
    package let subject: String
    package let errno: Errno

    package init(_ call: String, on subject: String, errno: Errno) {
        self.call = call
        self.subject = subject
        self.errno = errno
    }
}

extension SystemCallError: CustomStringConvertible {
    package var description: String { "\(call) \(subject): \(errno)" }
}

/// Makes a system call again while it is interrupted, and turns -1 into an error that says what was tried.
@discardableResult
package func systemCall<Result: SignedInteger>(
    _ name: String, on subject: @autoclosure () -> String, _ body: () -> Result
) throws(SystemCallError) -> Result {
    while true {
        let result = body()
        if result != -1 { return result }
        let failure = Errno.current
        if failure != .interrupted { throw SystemCallError(name, on: subject(), errno: failure) }
    }
}
