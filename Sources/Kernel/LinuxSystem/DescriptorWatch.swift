package import Dispatch

/// Calls back whenever a descriptor is readable, until it is cancelled or let go of.
///
/// It does not own the descriptor: whoever does keeps it open until `onCancel` was called.
package final class DescriptorWatch: Sendable {
    /// Dispatch guards its own state.
    nonisolated(unsafe) private let source: any DispatchSourceRead

    package init(
        _ descriptor: Int32, on queue: DispatchQueue, onCancel: (@Sendable () -> Void)? = nil,
        onReadable: @escaping @Sendable () -> Void
    ) {
        source = DispatchSource.makeReadSource(fileDescriptor: descriptor, queue: queue)
        source.setEventHandler(handler: onReadable)
        if let onCancel { source.setCancelHandler(handler: onCancel) }
        source.resume()
    }

    deinit {
        source.cancel()
    }

    package func cancel() {
        source.cancel()
    }
}
