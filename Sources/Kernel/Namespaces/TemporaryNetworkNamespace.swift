internal import CLinux
internal import Glibc
internal import LinuxSystem
internal import Synchronization

/// A new, empty network namespace for as long as the closure runs: to ask the kernel what it can do without touching
/// anything that is in use.
///
/// The corresponding system call is `unshare(2)`, on a thread that then ends.
package func withTemporaryNetworkNamespace<Value: ~Copyable, Failure: Error>(
    _ body: (borrowing NamespaceHandle) throws(Failure) -> Value
) throws(NamespaceEntryError<Failure>) -> Value {
    let namespace: NamespaceHandle
    do throws(SystemCallError) {
        namespace = try makeNetworkNamespace()
    } catch {
        throw .entry(error)
    }
    do throws(Failure) {
        return try body(namespace)
    } catch {
        throw .body(error)
    }
}

private func makeNetworkNamespace() throws(SystemCallError) -> NamespaceHandle {
    let made = Made()
    let thread = try startThread {
        do throws(SystemCallError) {
            let flag = NamespaceKind.network.flag
            try systemCall("unshare", on: "network namespace") { clinux_unshare(flag) }
            made.keep(.success(try NamespaceHandle(.network, at: "/proc/thread-self/ns/net")))
        } catch {
            made.keep(.failure(error))
        }
    }
    pthread_join(thread, nil)
    return try made.take()
}

/// What the thread leaves behind.
private final class Made: Sendable {
    private let outcome = Mutex<Result<NamespaceHandle, SystemCallError>?>(nil)

    func keep(_ outcome: consuming sending Result<NamespaceHandle, SystemCallError>) {
        var outcome = Optional(outcome)
        self.outcome.withLock { $0 = outcome.take() }
    }

    func take() throws(SystemCallError) -> NamespaceHandle {
        guard let outcome = outcome.withLock({ $0.take() }) else {
            preconditionFailure("the thread ended without an outcome")
        }
        return try outcome.get()
    }
}
