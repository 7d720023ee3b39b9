import Glibc
package import LinuxSystem

/// Why systemd did not do what it was asked.
package enum SystemdError: Error, Hashable, Sendable, CustomStringConvertible {
    case unreachable(SystemCallError)
    /// It answered so: the D-Bus error's name, and words for people.
    case refused(name: String, String)
    case malformed
    /// It does not say that it has done it.
    case silent

    /// It may answer when it is asked again.
    package var mayPass: Bool {
        switch self {
        case .unreachable, .silent: true
        case .refused, .malformed: false
        }
    }

    package var description: String {
        switch self {
        case .unreachable(let error): "systemd cannot be asked: \(error)"
        case .refused(_, let words): "systemd refuses it: \(words)"
        case .malformed: "systemd's answer cannot be read"
        case .silent: "systemd does not say in time that it is done"
        }
    }
}

/// Process 1, where that is systemd, asked on a socket of its own by which no bus is needed (systemd(1), D-Bus
/// specification). Each call is a connection, and is answered within a second or two.
package struct SystemdManager: Sendable {
    /// Root alone may connect to it.
    package static let standardSocket = "/run/systemd/private"
    /// Of a connection, and of an answer. Who asks holds others up meanwhile.
    private static let patience = Duration.seconds(1)

    private let socket: String

    package init(socket: String = Self.standardSocket) { self.socket = socket }

    /// Whether there is somebody who could be asked.
    package var isThere: Bool { faccessat(AT_FDCWD, socket, F_OK, 0) == 0 }

    /// Stops all processes of a unit where they are. From then on systemd starts nothing in it, and refuses what would
    /// need that.
    package func freeze(_ unit: String) throws(SystemdError) { try call("FreezeUnit", unit) }

    /// Has no effect on one that is not frozen.
    package func thaw(_ unit: String) throws(SystemdError) { try call("ThawUnit", unit) }

    /// Begins to start, stop or restart a unit, in the place of whatever else was to become of it.
    package func start(_ unit: String) throws(SystemdError) { _ = try answer(to: Self.starting(unit)) }
    package func stop(_ unit: String) throws(SystemdError) { try call("StopUnit", unit, "replace") }
    package func restart(_ unit: String) throws(SystemdError) { try call("RestartUnit", unit, "replace") }

    /// Forgets that it has failed, and how often it was started of late: beyond some starts systemd starts it no more for a while.
    package func resetFailed(_ unit: String) throws(SystemdError) { try call("ResetFailedUnit", unit) }

    /// Begins to take the host down in order, in the place of whatever else was to be done.
    ///
    /// - Parameter target: `reboot.target` or `poweroff.target`.
    package func takeDown(by target: String) throws(SystemdError) {
        try call("StartUnit", target, "replace-irreversibly")
    }

    /// What starts a unit, for whoever sends it.
    package static func starting(_ unit: String) -> DBusCall {
        DBusCall(member: "StartUnit", arguments: [unit, "replace"])
    }

    /// What all kinds of units have, by the property's name: each a list's members, or the one value. Nothing for what this
    /// systemd does not know.
    package func unitProperties(_ names: [String], of unit: String) throws(SystemdError) -> [String: [String]] {
        let replies = try answers(to: names.map { .property($0, of: unit, as: "Unit") })
        var found: [String: [String]] = [:]
        for (name, reply) in zip(names, replies) {
            if let error = reply.error {
                if error.name == "org.freedesktop.DBus.Error.UnknownProperty" { continue }
                throw .refused(name: error.name, error.words)
            }
            found[name] = reply.list ?? reply.text.map { [$0] }
        }
        return found
    }

    /// One of them that is no list.
    package func unitProperty(_ name: String, of unit: String) throws(SystemdError) -> String? {
        try unitProperties([name], of: unit)[name]?.first
    }

    /// The same of what only services have; refused for what this systemd does not know.
    package func serviceProperty(_ name: String, of service: String) throws(SystemdError) -> String? {
        try answer(to: .property(name, of: service, as: "Service")).text
    }

    private func call(_ member: String, _ arguments: String...) throws(SystemdError) {
        _ = try answer(to: DBusCall(member: member, arguments: arguments))
    }

    /// - Throws: What it answers when it refuses.
    private func answer(to call: DBusCall) throws(SystemdError) -> DBusReply {
        let reply = try answers(to: [call])[0]
        if let error = reply.error { throw .refused(name: error.name, error.words) }
        return reply
    }

    private func answers(to calls: [DBusCall]) throws(SystemdError) -> [DBusReply] {
        do {
            let stream = try DBusStream(socket, patience: Self.patience)
            let deadline = BootInstant.now + Self.patience
            return try calls.map { try stream.answer(to: $0, before: deadline) }
        } catch let error as SystemCallError {
            throw .unreachable(error)
        } catch {
            throw error as? SystemdError ?? .malformed
        }
    }
}

/// A connection on which calls are answered.
private final class DBusStream {
    private static let longestLine = 512
    private static let longestMessage = 1 << 20

    private var serial: UInt32 = 0
    private var bytes: [UInt8] = []
    private let stream: UnixStream

    init(_ socket: String, patience: Duration) throws {
        stream = try UnixStream(connectingTo: socket, timeout: patience)
        // Who asks is what the kernel says of this process; the number is user 0, in hexadecimal digits of its text. All at
        // once, and nothing after it before it is answered: what systemd reads together with BEGIN it leaves until more comes.
        try stream.send([0] + Array("AUTH EXTERNAL 30\r\nBEGIN\r\n".utf8))
        // What it tells everybody may come right behind the line.
        while !bytes.contains(UInt8(ascii: "\n")) {
            guard bytes.count < Self.longestLine else { throw SystemdError.malformed }
            bytes += try received()
        }
        guard bytes.starts(with: "OK ".utf8) else { throw SystemdError.malformed }
        bytes = Array(bytes.drop { $0 != UInt8(ascii: "\n") }.dropFirst())
    }

    /// - Throws: `silent` when there is none by then.
    func answer(to call: DBusCall, before deadline: BootInstant) throws -> DBusReply {
        serial += 1
        try stream.send(call.bytes(serial: serial))
        while BootInstant.now < deadline {
            guard let (reply, length) = try DBusReply.first(in: bytes, atMost: Self.longestMessage) else {
                bytes += try received()
                continue
            }
            bytes.removeFirst(length)
            if reply.replySerial == serial { return reply }
        }
        throw SystemdError.silent
    }

    private func received() throws -> [UInt8] {
        let bytes = try stream.receive()
        guard !bytes.isEmpty else { throw SystemCallError("recv", on: "systemd", errno: Errno(rawValue: ECONNRESET)) }
        return bytes
    }
}
