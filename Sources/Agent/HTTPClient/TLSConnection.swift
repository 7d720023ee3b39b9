internal import CLibssl
import Glibc
import LinuxSystem

/// Whom a TLS client trusts, and who it is.
package struct TLSTrust: Hashable, Sendable {
    /// A PEM file of certificates; nil for those of the system, or of `SSL_CERT_FILE`.
    package var authorities: String?
    /// The name that the server's certificate must have; nil for the host that is connected to.
    package var serverName: String?
    /// Takes anybody's certificate.
    package var isInsecure = false
    /// PEM files by which this client says who it is.
    package var certificate: String?
    package var key: String?

    package init(authorities: String? = nil, serverName: String? = nil, isInsecure: Bool = false) {
        self.authorities = authorities
        self.serverName = serverName
        self.isInsecure = isInsecure
    }
}

/// TLS 1.2 or 1.3 over a connected socket that does not block. OpenSSL keeps no state here but this connection's.
final class TLSConnection {
    private let connection: OpaquePointer
    private let descriptor: Int32
    private var isBroken = false

    /// - Throws: When a file cannot be used, or the server is not who it should be.
    init(over descriptor: Int32, to host: String, trust: TLSTrust, until deadline: BootInstant) throws(HTTPError) {
        self.descriptor = descriptor
        guard let context = SSL_CTX_new(TLS_client_method()) else { throw Self.failure("no TLS context") }
        // A connection keeps what it needs of it.
        defer { SSL_CTX_free(context) }
        guard let connection = try Self.connection(in: context, trust) else { throw Self.failure("no TLS connection") }
        self.connection = connection
        let name = trust.serverName ?? host
        let isAddress = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(connection), name) == 1
        ERR_clear_error()
        if !isAddress {
            guard SSL_set1_host(connection, name) == 1, libssl_set_server_name(connection, name) == 1 else {
                throw Self.failure("\(name) cannot be a server's name")
            }
        }
        guard SSL_set_fd(connection, descriptor) == 1 else { throw Self.failure("cannot use the socket") }
        try perform("TLS handshake", until: deadline) { SSL_connect(connection) }
    }

    deinit {
        if !isBroken { SSL_shutdown(connection) }
        SSL_free(connection)
    }

    private static func connection(in context: OpaquePointer, _ trust: TLSTrust) throws(HTTPError) -> OpaquePointer? {
        guard libssl_set_least_version(context, TLS1_2_VERSION) == 1 else { throw failure("no TLS 1.2") }
        if let file = trust.authorities {
            guard SSL_CTX_load_verify_locations(context, file, nil) == 1 else {
                throw failure("cannot read the authorities in \(file)")
            }
        } else {
            SSL_CTX_set_default_verify_paths(context)
        }
        if let file = trust.certificate, SSL_CTX_use_certificate_chain_file(context, file) != 1 {
            throw failure("cannot use the certificate in \(file)")
        }
        if let file = trust.key, SSL_CTX_use_PrivateKey_file(context, file, SSL_FILETYPE_PEM) != 1 {
            throw failure("cannot use the key in \(file)")
        }
        SSL_CTX_set_verify(context, trust.isInsecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nil)
        ERR_clear_error()
        return SSL_new(context)
    }

    func send(_ bytes: ArraySlice<UInt8>, until deadline: BootInstant?) throws(HTTPError) -> Int {
        try Int(
            perform("send", until: deadline) {
                bytes.withUnsafeBytes { SSL_write(connection, $0.baseAddress, Int32(clamping: $0.count)) }
            })
    }

    /// Zero at the end.
    func receive(into buffer: inout [UInt8], until deadline: BootInstant?) throws(HTTPError) -> Int {
        try Int(
            perform("receive", until: deadline) {
                buffer.withUnsafeMutableBytes { SSL_read(connection, $0.baseAddress, Int32(clamping: $0.count)) }
            })
    }

    @discardableResult
    private func perform(
        _ what: String, until deadline: BootInstant?, _ call: () -> Int32
    ) throws(HTTPError) -> Int32 {
        while true {
            ERR_clear_error()
            let result = call()
            if result > 0 { return result }
            switch SSL_get_error(connection, result) {
            case SSL_ERROR_WANT_READ: try descriptor.wait(for: POLLIN, until: deadline, what)
            case SSL_ERROR_WANT_WRITE: try descriptor.wait(for: POLLOUT, until: deadline, what)
            case SSL_ERROR_ZERO_RETURN: return 0
            case SSL_ERROR_SYSCALL:
                isBroken = true
                throw HTTPError(reason: "\(what): \(errno == 0 ? "the connection was closed" : "\(Errno.current)")")
            default:
                isBroken = true
                let verdict = SSL_get_verify_result(connection)
                if verdict != X509_V_OK, let words = X509_verify_cert_error_string(verdict) {
                    throw HTTPError(reason: "\(what): the server's certificate: \(String(cString: words))")
                }
                throw Self.failure(what)
            }
        }
    }

    private static func failure(_ what: String) -> HTTPError {
        var text = [CChar](repeating: 0, count: 256)
        let code = ERR_get_error()
        guard code != 0 else { return HTTPError(reason: what) }
        ERR_error_string_n(code, &text, text.count)
        let words = String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        // error:0A000086:SSL routines::certificate verify failed
        return HTTPError(reason: "\(what): \(words.split(separator: ":").last.map(String.init) ?? words)")
    }
}

extension Int32 {
    /// Waits until a descriptor is ready.
    func wait(for events: Int32, until deadline: BootInstant?, _ what: String) throws(HTTPError) {
        while true {
            let left = deadline.map { ($0 - .now).wholeNanoseconds / 1_000_000 }
            if let left, left <= 0 { throw HTTPError(reason: "\(what): no answer in time") }
            var ready = pollfd(fd: self, events: Int16(events), revents: 0)
            let count = poll(&ready, 1, left.map { Int32(clamping: $0) } ?? -1)
            if count > 0 { return }
            if count < 0, errno != EINTR { throw HTTPError(reason: "\(what): \(Errno.current)") }
        }
    }
}
