internal import CLinux
internal import Glibc
package import LinuxSystem
internal import Synchronization

/// One thread that never ends and runs closures one after the other. Namespaces belong to threads, so `setns` must
/// not happen on a pooled one, where other work would follow in the wrong namespace. And since `PR_SET_PDEATHSIG` of a
/// child follows the thread that made it, children are spawned on this thread too.
package final class NamespaceThread: Sendable {
    private let queue = WorkQueue()
    let home: NamespaceHandle
    private let thread: pthread_t
    /// Where the last search passed other network namespaces, by their numbers: whoever takes back a thousand sessions
    /// searches a thousand times. Each place is asked again before it counts.
    let passed = Mutex<[UInt64: String]>([:])

    /// - Throws: When no thread can be had, or `/proc` cannot be read.
    package init() throws(SystemCallError) {
        home = try NamespaceHandle(.network, at: "/proc/thread-self/ns/net")
        let queue = self.queue
        thread = try startThread { while true { queue.runNext() } }
    }

    /// Runs the closure on the thread and waits for it.
    package func run<Value: ~Copyable, Failure: Error>(
        _ body: () throws(Failure) -> Value
    ) throws(Failure) -> Value {
        precondition(pthread_equal(pthread_self(), thread) == 0, "the namespace thread cannot wait for itself")
        var outcome: Result<Value, Failure>?
        queue.perform {
            do throws(Failure) {
                outcome = .success(try body())
            } catch {
                outcome = .failure(error)
            }
        }
        guard let outcome = outcome.take() else { preconditionFailure("perform returned before its closure") }
        return try outcome.get()
    }

    /// Runs the closure on the thread, inside a network namespace. A socket that it opens stays in that namespace for
    /// life, so open it here and use it anywhere. If the thread cannot return to its own namespace, the process aborts:
    /// whatever ran there next would change the wrong machine.
    ///
    /// The corresponding system call is `setns(2)`.
    package func run<Value: ~Copyable, Failure: Error>(
        inNetworkNamespaceOf namespace: borrowing NamespaceHandle, _ body: () throws(Failure) -> Value
    ) throws(NamespaceEntryError<Failure>) -> Value {
        precondition(namespace.kind == .network, "only network namespaces are entered by a thread that comes back")
        let raw = namespace.descriptor.rawValue
        let inode = namespace.inode
        let flag = namespace.kind.flag
        return try run { () throws(NamespaceEntryError<Failure>) in
            do throws(SystemCallError) {
                try systemCall("setns", on: "network namespace \(inode)") { clinux_setns(raw, flag) }
            } catch {
                throw .entry(error)
            }
            defer {
                if clinux_setns(home.descriptor.rawValue, flag) != 0 {
                    fatalError("the namespace thread cannot return to its own network namespace: \(Errno.current)")
                }
            }
            do throws(Failure) {
                return try body()
            } catch {
                throw .body(error)
            }
        }
    }
}

/// Why nothing was done inside a namespace, or what failed there.
package enum NamespaceEntryError<Failure: Error>: Error {
    case entry(SystemCallError)
    case body(Failure)
}

extension NamespaceEntryError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .entry(let error): "\(error)"
        case .body(let error): "\(error)"
        }
    }
}

extension NamespaceEntryError where Failure == SystemCallError {
    /// The failed call, wherever it failed.
    package var systemCallError: SystemCallError {
        switch self {
        case .entry(let error), .body(let error): error
        }
    }
}
