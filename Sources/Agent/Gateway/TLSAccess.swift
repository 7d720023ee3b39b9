import AgentAPI
import ChaosModel
import Glibc
import NIOCore
import NIOSSL

/// What TLS is served with: asked of the engine, which reads the files, and asked again for whatever has replaced them.
/// On the event loop alone.
final class TLSAccess {
    /// Nil until there is something to serve with.
    private(set) var context: NIOSSLContext?
    private let engine: EngineAccess
    private let loop: any EventLoop
    private var query = CredentialsQuery()
    private var exchange: EngineExchange?
    private var isStopped = false
    private var onChange: () -> Void = {}

    init(engine: EngineAccess, on loop: any EventLoop) {
        self.engine = engine
        self.loop = loop
    }

    /// Asks now, and again and again.
    ///
    /// - Parameter onChange: Called when something else is served with than before.
    func follow(onChange: @escaping () -> Void) {
        self.onChange = onChange
        ask()
    }

    private func ask() {
        guard !isStopped else { return }
        let time = engine.limits.answerTime
        let frame = Frame(.credentials, query.payload)
        let exchange = EngineExchange(frame, to: engine, within: time, on: loop) { [weak self] reply in
            self?.received(reply)
        }
        self.exchange = exchange
        exchange.begin()
    }

    func stop() {
        isStopped = true
        onChange = {}
        exchange?.cancel()
    }

    private func received(_ reply: EngineExchange.Reply) {
        exchange = nil
        if case .answer(let payload) = reply, let answer = Answer(payload: payload),
            let credentials = TLSCredentials(answer.body)
        {
            take(credentials)
            // The engine is told at once how that went.
            return ask()
        }
        loop.assumeIsolated().scheduleTask(in: TimeAmount(engine.limits.credentialsInterval)) { [weak self] in
            self?.ask()
        }
    }

    /// What is no good leaves in force what was.
    private func take(_ credentials: TLSCredentials) {
        query.known = credentials.generation
        do {
            let (context, expires) = try Self.context(of: credentials)
            self.context = context
            query.expires = expires
            query.problem = nil
            onChange()
        } catch {
            query.problem = "\(error)".cut(to: 256)
            engine.troubles.report("TLS is not served with what the files say now: \(error)")
        }
    }

    private static func context(of credentials: TLSCredentials) throws -> (NIOSSLContext, expires: Int64?) {
        let chain = try NIOSSLCertificate.fromPEMBytes(Array(credentials.certificateChain.utf8))
        let authorities = try NIOSSLCertificate.fromPEMBytes(Array(credentials.clientAuthorities.utf8))
        let key = try NIOSSLPrivateKey(bytes: Array(credentials.privateKey.utf8), format: .pem)
        guard let own = chain.first else { throw TLSProblem(description: "there is no certificate in the file") }
        guard !authorities.isEmpty else { throw TLSProblem(description: "no authority for clients' certificates") }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = .tlsv13
        // Without hostname, since clients have none: their certificate is required and its chain verified.
        configuration.certificateVerification = .noHostnameVerification
        configuration.trustRoots = .certificates(authorities)
        configuration.applicationProtocols = ["http/1.1"]
        return (try NIOSSLContext(configuration: configuration), Int64(own.notValidAfter))
    }
}

private struct TLSProblem: Error, CustomStringConvertible {
    let description: String
}

extension NIOSSLCertificate {
    /// By which a policy may know it: URIs and DNS names, no more than a frame takes.
    var identities: [PeerIdentity] {
        let names = _subjectAlternativeNames().lazy.compactMap { name -> PeerIdentity? in
            let text = name.contents.withUnsafeBufferPointer { String(validating: $0, as: UTF8.self) }
            guard let identity = text.flatMap(PeerIdentity.init) else { return nil }
            switch name.nameType {
            case .uri: return identity.isURI ? identity : nil
            case .dnsName: return identity.isURI ? nil : identity
            default: return nil
            }
        }
        return Array(names.prefix(EnvelopeRequest.mostIdentities))
    }
}
