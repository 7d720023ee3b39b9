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
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        var bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else {
            throw SystemCallError("sendto", on: path, errno: Errno(rawValue: ENAMETOOLONG))
        }
        // A name that begins so is no file, but one of Linux's own.
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        let descriptor = OwnedDescriptor(
            adopting: try systemCall("socket", on: "AF_UNIX") { socket(AF_UNIX, type, 0) })
        let message = Array(text.utf8)
        // A systemd that is held up holds nobody up here.
        let flags = Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT)
        _ = try systemCall("sendto", on: path) {
            withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    Int32(sendto(descriptor.rawValue, message, message.count, flags, $0, length))
                }
            }
        }
    }
}
