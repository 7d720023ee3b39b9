internal import CLibssh2
import Glibc
import HTTPClient
package import LinuxSystem

/// A connection by SSH (RFC 4251 to 4254), on which one program is run. libssh2 does the protocol.
package final class SSHConnection {
    private static let longestComplaint = 4096
    /// What it looks at its stop again after.
    private static let pause = Duration.milliseconds(100)

    /// How much the other side may send before it is read.
    private static let window: UInt32 = 2 << 20

    private let state: SSHState
    private let descriptor: OwnedDescriptor
    private let deadline: BootInstant
    private let isStopped: () -> Bool

    /// Logs in.
    ///
    /// - Parameters:
    ///   - deadline: Of everything on this connection.
    ///   - isStopped: Whether nobody waits for it any longer.
    /// - Throws: When it cannot be reached by then, is not whom it should be, or does not let this one in.
    package init(
        to server: SSHServer, until deadline: BootInstant, isStopped: @escaping () -> Bool = { false }
    ) throws(SSHError) {
        state = try SSHState()
        do throws(HTTPError) {
            descriptor = try TCPStream.connected(to: server.host, port: server.port, until: deadline)
        } catch {
            throw SSHError(reason: error.reason)
        }
        self.deadline = deadline
        self.isStopped = isStopped
        let known = try KnownHosts(in: state, file: server.knownHostsFile)
        libssh2_session_method_pref(session, LIBSSH2_METHOD_HOSTKEY, known.keyTypes(of: server))
        try perform("SSH handshake") { libssh2_session_handshake(session, descriptor.rawValue) }
        try known.check(server)
        try logIn(as: server.user, with: server.keyFile)
    }

    deinit {
        // Nobody waits for the other side's good-bye.
        shutdown(descriptor.rawValue, Int32(SHUT_RDWR))
    }

    private var session: OpaquePointer { state.session }

    // MARK: Who it is

    private func logIn(as user: String, with keyFile: String) throws(SSHError) {
        try perform("\(user) cannot log in with \(keyFile)") {
            libssh2_userauth_publickey_fromfile_ex(session, user, UInt32(user.utf8.count), nil, keyFile, nil)
        }
    }

    // MARK: What it runs

    /// - Parameter limit: Of its standard output, in bytes.
    /// - Throws: When it has not ended in time, or says more than that. It is not ended then: its input and output are closed.
    package func run(_ command: String, atMost limit: Int) throws(SSHError) -> SSHOutcome {
        let channel = try open()
        defer { libssh2_channel_free(channel) }
        try perform("starting the program") {
            libssh2_channel_process_startup(channel, "exec", 4, command, UInt32(command.utf8.count))
        }
        try perform("closing its input") { libssh2_channel_send_eof(channel) }
        var outcome = SSHOutcome()
        while libssh2_channel_eof(channel) == 0 {
            try refuseIfOver("the program")
            let isIdle = try !read(0, of: channel, into: &outcome.output)
            guard outcome.output.count <= limit else {
                throw SSHError(reason: "its output is longer than \(limit) bytes")
            }
            let isSilent = try !read(SSH_EXTENDED_DATA_STDERR, of: channel, into: &outcome.complaint)
            outcome.complaint.removeFirst(max(0, outcome.complaint.count - Self.longestComplaint))
            // Its end may have come with that.
            if isIdle, isSilent, libssh2_channel_eof(channel) == 0 { try wait("the program") }
        }
        try perform("the program's end") { libssh2_channel_close(channel) }
        try perform("the program's end") { libssh2_channel_wait_closed(channel) }
        var (signal, length): (UnsafeMutablePointer<CChar>?, Int) = (nil, 0)
        libssh2_channel_get_exit_signal(channel, &signal, &length, nil, nil, nil, nil)
        if let signal {
            outcome.signal = String(cString: signal)
            libssh2_free(session, signal)
        } else {
            outcome.exitCode = libssh2_channel_get_exit_status(channel)
        }
        return outcome
    }

    private func open() throws(SSHError) -> OpaquePointer {
        while true {
            let packet = UInt32(LIBSSH2_CHANNEL_PACKET_DEFAULT)
            if let channel = libssh2_channel_open_ex(session, "session", 7, Self.window, packet, nil, 0) {
                return channel
            }
            guard libssh2_session_last_errno(session) == LIBSSH2_ERROR_EAGAIN else { throw failure("no channel") }
            try wait("opening a channel")
        }
    }

    /// - Returns: Whether there was something.
    private func read(_ stream: Int32, of channel: OpaquePointer, into bytes: inout [UInt8]) throws(SSHError) -> Bool {
        var buffer = [CChar](repeating: 0, count: 16384)
        let count = libssh2_channel_read_ex(channel, stream, &buffer, buffer.count)
        if count == 0 || count == Int(LIBSSH2_ERROR_EAGAIN) { return false }
        guard count > 0 else { throw failure("reading what it says") }
        bytes += buffer[..<count].map { UInt8(bitPattern: $0) }
        return true
    }

    // MARK: Waiting

    private func perform(_ what: String, _ call: () -> Int32) throws(SSHError) {
        while true {
            let result = call()
            if result == 0 { return }
            guard result == LIBSSH2_ERROR_EAGAIN else { throw failure(what) }
            try wait(what)
        }
    }

    /// Until the socket is ready for what the session waits for.
    private func wait(_ what: String) throws(SSHError) {
        let directions = libssh2_session_block_directions(session)
        var events: Int32 = directions & LIBSSH2_SESSION_BLOCK_OUTBOUND != 0 ? POLLOUT : 0
        if directions & LIBSSH2_SESSION_BLOCK_INBOUND != 0 || events == 0 { events |= POLLIN }
        var ready = pollfd(fd: descriptor.rawValue, events: Int16(events), revents: 0)
        while true {
            try refuseIfOver(what)
            let left = min(Self.pause, deadline - .now)
            if poll(&ready, 1, Int32(max(.zero, left).wholeNanoseconds / 1_000_000) + 1) > 0 { return }
        }
    }

    private func refuseIfOver(_ what: String) throws(SSHError) {
        if isStopped() { throw SSHError(reason: "the experiment stops") }
        if .now >= deadline { throw SSHError(reason: "\(what): no answer in time") }
    }

    private func failure(_ what: String) -> SSHError { SSHError(reason: "\(what): \(state.lastError)") }
}

/// What libssh2 knows of one connection. Whatever is made in it is freed before it.
private final class SSHState {
    private static let isReady = libssh2_init(0) == 0

    let session: OpaquePointer

    init() throws(SSHError) {
        guard Self.isReady, let session = libssh2_session_init_ex(nil, nil, nil, nil) else {
            throw SSHError(reason: "no SSH session")
        }
        libssh2_session_set_blocking(session, 0)
        self.session = session
    }

    deinit { libssh2_session_free(session) }

    var lastError: String {
        var (text, length): (UnsafeMutablePointer<CChar>?, Int32) = (nil, 0)
        libssh2_session_last_error(session, &text, &length, 0)
        return text.map { String(cString: $0) } ?? "unknown"
    }
}

/// The keys of hosts that are trusted.
private final class KnownHosts {
    private static let keyTypes: [(mask: Int32, type: Int32, name: String)] = [
        (LIBSSH2_KNOWNHOST_KEY_ED25519, LIBSSH2_HOSTKEY_TYPE_ED25519, "ssh-ed25519"),
        (LIBSSH2_KNOWNHOST_KEY_ECDSA_256, LIBSSH2_HOSTKEY_TYPE_ECDSA_256, "ecdsa-sha2-nistp256"),
        (LIBSSH2_KNOWNHOST_KEY_ECDSA_384, LIBSSH2_HOSTKEY_TYPE_ECDSA_384, "ecdsa-sha2-nistp384"),
        (LIBSSH2_KNOWNHOST_KEY_ECDSA_521, LIBSSH2_HOSTKEY_TYPE_ECDSA_521, "ecdsa-sha2-nistp521"),
        (LIBSSH2_KNOWNHOST_KEY_SSHRSA, LIBSSH2_HOSTKEY_TYPE_RSA, "ssh-rsa"),
    ]

    private let state: SSHState
    private let hosts: OpaquePointer
    private let file: String

    init(in state: SSHState, file: String) throws(SSHError) {
        guard let hosts = libssh2_knownhost_init(state.session) else { throw SSHError(reason: "no known hosts") }
        guard libssh2_knownhost_readfile(hosts, file, LIBSSH2_KNOWNHOST_FILE_OPENSSH) >= 0 else {
            libssh2_knownhost_free(hosts)
            throw SSHError(reason: "cannot read the known hosts in \(file): \(state.lastError)")
        }
        (self.state, self.hosts, self.file) = (state, hosts, file)
    }

    deinit { libssh2_knownhost_free(hosts) }

    /// Those that are known of it first: another key of the same host's would say nothing.
    func keyTypes(of server: SSHServer) -> String {
        var known: Set<Int32> = []
        var entry: UnsafeMutablePointer<libssh2_knownhost>?
        while libssh2_knownhost_get(hosts, &entry, entry) == 0, let host = entry?.pointee {
            // Of a name that is hashed nobody can say whose it is.
            let name = host.name.map { String(cString: $0) }
            guard name == nil || name == server.host || name == "[\(server.host)]:\(server.port)" else { continue }
            known.insert(host.typemask & LIBSSH2_KNOWNHOST_KEY_MASK)
        }
        let (first, others) = (
            Self.keyTypes.filter { known.contains($0.mask) }, Self.keyTypes.filter { !known.contains($0.mask) }
        )
        return (first + others).map(\.name).joined(separator: ",")
    }

    func check(_ server: SSHServer) throws(SSHError) {
        var (length, type): (Int, Int32) = (0, 0)
        guard let key = libssh2_session_hostkey(state.session, &length, &type),
            let mask = Self.keyTypes.first(where: { $0.type == type })?.mask
        else { throw SSHError(reason: "\(server.host) has no key that can be checked") }
        let kind = LIBSSH2_KNOWNHOST_TYPE_PLAIN | LIBSSH2_KNOWNHOST_KEYENC_RAW | mask
        switch libssh2_knownhost_checkp(hosts, server.host, Int32(server.port), key, length, kind, nil) {
        case LIBSSH2_KNOWNHOST_CHECK_MATCH: return
        case LIBSSH2_KNOWNHOST_CHECK_MISMATCH:
            throw SSHError(reason: "\(server.host) has another key than \(file) says: nothing was sent to it")
        default:
            throw SSHError(
                reason:
                    "\(file) knows no such key of \(server.host): 'ssh-keyscan -p \(server.port) \(server.host)' shows it"
            )
        }
    }
}
