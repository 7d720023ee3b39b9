import LinuxSystem
import NIOCore
import NIOHTTP1
import NIOSSL

/// One listening socket and the connections that it accepted, on the event loop alone.
final class Listener {
    /// What is served, and to how many.
    struct Service {
        let resources: [Resource]
        /// Connections at once.
        let connections: Int
        let connectionsPerPeer: Int
        let idleTime: Duration

        static func api(_ limits: Limits) -> Service {
            Service(
                resources: Resource.allCases, connections: limits.connections,
                connectionsPerPeer: limits.connectionsPerPeer, idleTime: limits.idleTime)
        }

        static func probes(_ limits: Limits) -> Service {
            Service(
                resources: Resource.probes, connections: limits.probeConnections,
                connectionsPerPeer: limits.probeConnectionsPerPeer, idleTime: limits.probeIdleTime)
        }
    }

    private let service: Service
    private let reader: RequestReader
    private let engine: EngineAccess
    /// Nil where it is not TLS that is spoken.
    private let tls: TLSAccess?
    private let loop: any EventLoop
    private var clients: [ObjectIdentifier: ClientConnection] = [:]
    private var peers: PeerBook
    private var refusals = 0
    private var drained: EventLoopPromise<Void>?

    init(_ service: Service, engine: EngineAccess, tls: TLSAccess? = nil, on loop: any EventLoop) {
        self.service = service
        self.reader = RequestReader(resources: service.resources, tokenBytes: engine.limits.tokenBytes)
        self.engine = engine
        self.tls = tls
        self.loop = loop
        peers = PeerBook(limits: engine.limits, mostConnections: service.connectionsPerPeer)
        // Who came in by what is no longer in force comes in again, after what it has asked for.
        tls?.follow { [weak self] in self?.clients.values.forEach { $0.drain() } }
    }

    /// Sets an accepted connection up, to be served or refused.
    func accept(_ channel: any Channel) throws {
        guard drained == nil, clients.count < service.connections else {
            return try refuse(
                channel, with: .overloaded, counted: .connections,
                because: "\(service.connections) connections are open: another was refused")
        }
        let peer = Peer(of: channel)
        guard peers.open(peer, at: .now) else {
            return try refuse(
                channel, with: .greedy, counted: .connectionsOfClient,
                because: "\(peer) has \(service.connectionsPerPeer) connections: another was refused")
        }
        let key = ObjectIdentifier(channel)
        channel.closeFuture.assumeIsolated().whenComplete { [weak self] _ in
            self?.peers.close(peer)
            self?.closed(key)
        }
        let limits = engine.limits
        let deadline = ConnectionDeadline(
            limits: limits, idleTime: service.idleTime, from: tls == nil ? .idle : .handshaking)
        try channel.pipeline.syncOperations.addHandler(deadline)
        if let tls {
            guard peers.handshake(peer, at: .now) else {
                engine.refusals.count(.handshakes)
                engine.strangers.report("\(peer) connects too often")
                return channel.close(promise: nil)
            }
            guard let context = tls.context else {
                engine.troubles.report("a TLS client was sent away: there is no certificate to serve with yet")
                return channel.close(promise: nil)
            }
            try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: context))
        }
        let client = ClientConnection(
            reader: reader, engine: engine, deadline: deadline, isTLS: tls != nil,
            admits: { [weak self] in self?.peers.request(peer, at: .now) ?? false })
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

    private func refuse(
        _ channel: any Channel, with response: Response, counted refusal: GatewayRefusals.Connection,
        because reason: String
    ) throws {
        engine.refusals.count(refusal)
        engine.strangers.report(reason)
        // A word in the clear would be no TLS.
        guard tls == nil, refusals < engine.limits.refusals else { return channel.close(promise: nil) }
        refusals += 1
        channel.closeFuture.assumeIsolated().whenComplete { [weak self] _ in self?.refusals -= 1 }
        try channel.pipeline.syncOperations.addHandler(
            RefusedConnection(response, lingerTime: engine.limits.lingerTime))
    }
}
