package import Dispatch
import Glibc
import LinuxSystem
import Synchronization

/// Runs the body for each element on a thread of its own, and waits for all.
///
/// - Returns: What each returned, in order.
func atOnce<Element: Sendable, Value: Sendable>(
    _ elements: [Element], _ body: @escaping @Sendable (Element) -> Value
) -> [Value] {
    if elements.count == 1 { return [body(elements[0])] }
    let values = Values<Value>(count: elements.count)
    let group = DispatchGroup()
    for (index, element) in elements.enumerated() {
        inBackground(group) { values.set(body(element), at: index) }
    }
    group.wait()
    return values.all
}

/// Runs the body on a thread of its own: what is waited for must not wait for a pool. Where no thread can be had, one of a
/// pool does it, when it has the time.
package func inBackground(_ group: DispatchGroup, _ body: @escaping @Sendable () -> Void) {
    group.enter()
    do throws(SystemCallError) {
        let thread = try startThread {
            body()
            group.leave()
        }
        pthread_detach(thread)
    } catch {
        DispatchQueue.global().async {
            body()
            group.leave()
        }
    }
}

private final class Values<Value: Sendable>: Sendable {
    private let values: Mutex<[Value?]>

    init(count: Int) { values = Mutex(Array(repeating: nil, count: count)) }

    func set(_ value: Value, at index: Int) { values.withLock { $0[index] = value } }

    var all: [Value] { values.withLock { $0.compactMap(\.self) } }
}

enum Thread {
    static func sleep(_ duration: Duration) { usleep(UInt32(clamping: Int64(duration / .microseconds(1)))) }
}
