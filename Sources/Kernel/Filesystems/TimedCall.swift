internal import Dispatch
internal import Glibc
package import LinuxSystem
internal import Synchronization

/// Makes calls that a file system may never answer, as one over the network does whose server is gone: on a thread of
/// their own, which is left behind when the time is over, so that nobody else waits.
///
/// - Parameter isUndoing: So many of these calls may hang; half of them are kept for what has to be taken back.
/// - Throws: What the body throws; `ETIMEDOUT` when it did not return in time; `EBUSY` when too many such calls hang.
package func inTime<Value: Sendable>(
    atMost limit: Duration = .seconds(5), on subject: String, isUndoing: Bool = false,
    _ body: @escaping @Sendable () throws(SystemCallError) -> Value
) async throws(SystemCallError) -> Value {
    guard
        underWay.add(1, ordering: .relaxed).newValue
            <= (isUndoing ? mostUnderWay : mostUnderWay / 2)
    else {
        underWay.subtract(1, ordering: .relaxed)
        throw SystemCallError("begin", on: subject, errno: .busy)
    }
    let waiting = Waiting<Value>()
    return try await withCheckedContinuation { continuation in
        waiting.continuation.withLock { $0 = continuation }
        do throws(SystemCallError) {
            let thread = try startThread {
                let result = Result { () throws(SystemCallError) in try body() }
                underWay.subtract(1, ordering: .relaxed)
                waiting.settle(result)
            }
            pthread_detach(thread)
        } catch {
            underWay.subtract(1, ordering: .relaxed)
            waiting.settle(.failure(error))
        }
        DispatchQueue.global().asyncAfter(deadline: .now() + .nanoseconds(Int(limit.wholeNanoseconds))) {
            waiting.settle(.failure(SystemCallError("answer in time", on: subject, errno: .timedOut)))
        }
    }.get()
}

private let underWay = Atomic<Int>(0)
private let mostUnderWay = 64

private final class Waiting<Value: Sendable>: Sendable {
    let continuation = Mutex<CheckedContinuation<Result<Value, SystemCallError>, Never>?>(nil)

    /// The first result counts.
    func settle(_ result: Result<Value, SystemCallError>) {
        let waiting = continuation.withLock { waiting in
            defer { waiting = nil }
            return waiting
        }
        waiting?.resume(returning: result)
    }
}
