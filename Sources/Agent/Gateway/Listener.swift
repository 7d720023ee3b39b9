import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOSSL

/// One listening socket and the connections that it accepted, on the event loop alone.
final class Listener {
    private let reader: RequestReader
    private let limit: Int
    private let engine: EngineAccess
    /// Nil where it is not TLS that is spoken.
    private let tls: TLSAccess?
    private let loop: any EventLoop
    private var clients: [ObjectIdentifier: ClientConnection] = [:]
    private var peers: PeerBook
    private var refusals = 0
    private var drained: EventLoopPromise<Void>?

    /// - Parameter limit: How many connections are served at once.
    init(
        serving resources: [Resource], atMost limit: Int, engine: EngineAccess, tls: TLSAccess? = nil,
        on loop: any EventLoop
    ) {
        self.reader = RequestReader(resources: resources, tokenBytes: engine.limits.tokenBytes)
        self.limit = limit
        self.engine = engine
        self.tls = tls
        self.loop = loop
        peers = PeerBook(limits: engine.limits)
    }

    /// Sets an accepted connection up, to be served or refused.
    func accept(_ channel: any Channel) throws {
        guard drained == nil, clients.count < limit else {
            return try refuse(channel, with: .overloaded, because: "\(limit) connections are open: another was refused")
        }
        let peer = Peer(of: channel)
        guard peers.open(peer, at: .now) else {
            return try refuse(
                channel, with: .greedy,
                because: "\(peer) has \(engine.limits.connectionsPerPeer) connections: another was refused")
        }
        channel.closeFuture.assumeIsolated().whenComplete { [weak self] _ in self?.peers.close(peer) }
        let limits = engine.limits
        let key = ObjectIdentifier(channel)
        let deadline = ConnectionDeadline(limits: limits, from: tls == nil ? .idle : .handshaking)
        let client = ClientConnection(
            reader: reader, engine: engine, deadline: deadline, isTLS: tls != nil,
            admits: { [weak self] in self?.peers.request(peer, at: .now) ?? false },
            onClose: { [weak self] in self?.closed(key) })
        try channel.pipeline.syncOperations.addHandler(deadline)
        if let tls {
            guard let context = tls.context else {
                engine.troubles.report("a TLS client was sent away: there is no certificate to serve with yet")
                return channel.close(promise: nil)
            }
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
        }
        var parsing = NIOHTTPDecoderLimitConfiguration()
        parsing.maxHeaderFieldSize = limits.headerBytes
        parsing.maxHeaderListSize = limits.headerBytes
        parsing.maxHeaderFieldCount = 64
        try channel.pipeline.syncOperations.addHandlers([
            HTTPResponseEncoder(), ByteToMessageHandler(HTTPRequestDecoder(limitConfiguration: parsing)),
            HTTPServerPipelineHandler(), client,
        ])
        clients[key] = client
    }

    /// Completes when no connection is left.
    func drain() -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        drained = promise
        tls?.stop()
        for client in clients.values { client.drain() }
        if clients.isEmpty { promise.succeed() }
        return promise.futureResult
    }

    private func closed(_ key: ObjectIdentifier) {
        clients[key] = nil
        if clients.isEmpty { drained?.succeed() }
    }

    private func refuse(_ channel: any Channel, with response: Response, because reason: String) throws {
        engine.troubles.report(reason)
        // A word in the clear would be no TLS.
        guard tls == nil, refusals < engine.limits.refusals else { return channel.close(promise: nil) }
        refusals += 1
        channel.closeFuture.assumeIsolated().whenComplete { [weak self] _ in self?.refusals -= 1 }
        try channel.pipeline.syncOperations.addHandler(
            RefusedConnection(response, lingerTime: engine.limits.lingerTime))
    }
}
