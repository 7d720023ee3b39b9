import ContainerRuntimes
import Glibc
import LinuxSystem
import Steps

/// Has containers stopped through the runtimes process.
struct RuntimeContainerStopper: ContainerStopper {
    let client: RuntimeClient

    /// On a thread of its own: it may take minutes.
    func stop(_ stop: ContainerStop) async throws(ContainerStopError) -> Int32? {
        let withdrawal = Withdrawal()
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                do throws(SystemCallError) {
                    let thread = try startThread {
                        continuation.resume(
                            returning: Result { () throws(RuntimeFailure) in
                                try client.stop(
                                    stop.container, graceSeconds: stop.graceSeconds, unless: withdrawal)
                            })
                    }
                    pthread_detach(thread)
                } catch {
                    continuation.resume(returning: .failure(RuntimeFailure.unreachable(reason: "\(error)")))
                }
            }
        } onCancel: {
            withdrawal.withdraw()
        }
        do throws(RuntimeFailure) {
            return try result.get()
        } catch {
            let isUntold = if case .unconfirmed = error { false } else { true }
            throw ContainerStopError("\(error)", isUntold: isUntold)
        }
    }
}
