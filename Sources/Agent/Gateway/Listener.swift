import LinuxSystem
import NIOCore
import NIOHTTP1

/// One listening socket and the connections that it accepted, on the event loop alone.
final class Listener {
    private let reader: RequestReader
    private let limit: Int
    private let engine: EngineAccess
    private let loop: any EventLoop
    private var clients: [ObjectIdentifier: ClientConnection] = [:]
    private var refusals = 0
    private var drained: EventLoopPromise<Void>?

    /// - Parameter limit: How many connections are served at once.
    init(serving resources: [Resource], atMost limit: Int, engine: EngineAccess, on loop: any EventLoop) {
        self.reader = RequestReader(resources: resources, tokenBytes: engine.limits.tokenBytes)
        self.limit = limit
        self.engine = engine
        self.loop = loop
    }

    /// Sets an accepted connection up, to be served or refused.
    func accept(_ channel: any Channel) throws {
        guard drained == nil, clients.count < limit else { return try refuse(channel) }
        let limits = engine.limits
        let key = ObjectIdentifier(channel)
        let deadline = ConnectionDeadline(limits: limits)
        let client = ClientConnection(reader: reader, engine: engine, deadline: deadline) { [weak self] in
            self?.closed(key)
        }
        var parsing = NIOHTTPDecoderLimitConfiguration()
        parsing.maxHeaderFieldSize = limits.headerBytes
        parsing.maxHeaderListSize = limits.headerBytes
        parsing.maxHeaderFieldCount = 64
        try channel.pipeline.syncOperations.addHandlers([
            deadline, HTTPResponseEncoder(),
            ByteToMessageHandler(HTTPRequestDecoder(limitConfiguration: parsing)), HTTPServerPipelineHandler(), client,
        ])
        clients[key] = client
    }

    /// Completes when no connection is left.
    func drain() -> EventLoopFuture<Void> {
        let promise = loop.makePromise(of: Void.self)
        drained = promise
        for client in clients.values { client.drain() }
        if clients.isEmpty { promise.succeed() }
        return promise.futureResult
    }

    private func closed(_ key: ObjectIdentifier) {
        clients[key] = nil
        if clients.isEmpty { drained?.succeed() }
    }

    private func refuse(_ channel: any Channel) throws {
        engine.troubles.report("\(limit) connections are open: another was refused")
        guard refusals < engine.limits.refusals else { return channel.close(promise: nil) }
        refusals += 1
        channel.closeFuture.assumeIsolated().whenComplete { [weak self] _ in self?.refusals -= 1 }
        try channel.pipeline.syncOperations.addHandler(RefusedConnection(lingerTime: engine.limits.lingerTime))
    }
}
