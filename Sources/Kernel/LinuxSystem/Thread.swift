package import Glibc

/// Starts a thread of the kernel's own making, never one of a pool, with all signals blocked.
///
/// The corresponding call is `pthread_create(3)`.
///
/// - Returns: The thread, to be joined or detached: one that ends otherwise leaves its stack behind.
package func startThread(_ body: @escaping @Sendable () -> Void) throws(SystemCallError) -> pthread_t {
    var previous = sigset_t()
    var all = sigset_t()
    sigfillset(&all)
    // A thread inherits the mask, so there is no instant at which a signal could be delivered to it.
    pthread_sigmask(SIG_SETMASK, &all, &previous)
    defer { pthread_sigmask(SIG_SETMASK, &previous, nil) }
    var thread = pthread_t()
    let start = Unmanaged.passRetained(ThreadBody(body))
    let failure = pthread_create(
        &thread, nil,
        { argument in
            guard let argument else { return nil }
            Unmanaged<ThreadBody>.fromOpaque(argument).takeRetainedValue().run()
            return nil
        }, start.toOpaque())
    if failure != 0 {
        start.release()
        throw SystemCallError("pthread_create", on: "a thread", errno: Errno(rawValue: failure))
    }
    return thread
}

private final class ThreadBody: Sendable {
    let run: @Sendable () -> Void
    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}
