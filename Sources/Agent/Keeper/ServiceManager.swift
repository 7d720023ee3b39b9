import Glibc
import LinuxSystem

/// Tells systemd how the agent is, where it asked for that: sd_notify(3), which is a datagram to `$NOTIFY_SOCKET`.
enum ServiceManager {
    enum State: String {
        /// The sockets are there: whoever connects is served, if only in a moment.
        case ready = "READY=1"
        /// Sessions are being taken back.
        case stopping = "STOPPING=1"
    }

    /// The corresponding system call is `sendto(2)`.
    static func tell(_ state: State) {
        guard let path = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }), !path.isEmpty else { return }
        do throws(SystemCallError) {
            try send(state.rawValue, to: path)
        } catch {
            say("systemd is not told \(state.rawValue): \(error)")
        }
    }

    private static func send(_ text: String, to path: String) throws(SystemCallError) {
        let address = try UnixAddress(path, for: "sendto", namesAbstract: true)
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("socket", on: "AF_UNIX") { socket(AF_UNIX, type, 0) })
        let message = Array(text.utf8)
        // A systemd that is held up holds nobody up here.
        let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
        _ = try systemCall("sendto", on: path) {
            address.withPointer { Int32(sendto(descriptor.rawValue, message, message.count, flags, $0, $1)) }
        }
    }
}
