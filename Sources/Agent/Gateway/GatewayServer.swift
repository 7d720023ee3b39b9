import Glibc
package import LinuxSystem
import NIOCore
import NIOPosix

/// The gateway: HTTP/1.1 on inherited sockets, frames to the engine. Everything happens on one event loop.
package final class GatewayServer: Sendable {
    private struct Entrance: Sendable {
        let channel: any Channel
        let listener: NIOLoopBound<Listener>
    }

    private let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    private let entrances: [Entrance]
    private let drainTime: Duration

    /// Serves from now on.
    ///
    /// - Parameters:
    ///   - api: A listening socket for the whole API.
    ///   - tls: A listening socket for the same, by mutual TLS 1.3.
    ///   - probes: A listening socket for the probes alone.
    package init(
        api: consuming OwnedDescriptor, tls: consuming OwnedDescriptor? = nil,
        probes: consuming OwnedDescriptor? = nil, engineSocket: String, limits: Limits = Limits()
    ) throws {
        drainTime = limits.drainTime
        let loop = group.next()
        let engine = try loop.submit {
            NIOLoopBound(
                EngineAccess(
                    socketPath: engineSocket, limits: limits, troubles: TroubleLog(), strangers: TroubleLog()),
                eventLoop: loop)
        }.wait()
        var entrances = [
            try Self.open(api, on: loop) {
                Listener(.api(limits), engine: engine.value, on: loop)
            }
        ]
        if let tls {
            let opened = try Self.open(tls, on: loop) {
                Listener(
                    .api(limits), engine: engine.value, tls: TLSAccess(engine: engine.value, on: loop), on: loop)
            }
            entrances.append(opened)
        }
        if let probes {
            let opened = try Self.open(probes, on: loop) {
                Listener(.probes(limits), engine: engine.value, on: loop)
            }
            entrances.append(opened)
        }
        self.entrances = entrances
    }

    /// Takes no more connections, and returns when the running requests have finished or have had their time.
    package func drain() throws {
        let loop = group.next()
        let drained = loop.flatSubmit { [entrances, drainTime] in
            for entrance in entrances { entrance.channel.close(promise: nil) }
            let empty = EventLoopFuture.andAllSucceed(entrances.map { $0.listener.value.drain() }, on: loop)
            let late = loop.scheduleTask(in: TimeAmount(drainTime)) {}
            let either = loop.makePromise(of: Void.self)
            empty.cascade(to: either)
            late.futureResult.cascadeSuccess(to: either)
            return either.futureResult
        }
        try drained.wait()
    }

    /// Closes what is left, and ends the threads. The program lets its own end do that: here Dispatch has a part in it, which
    /// ends a program that may not open files when it wants to see in `/proc` what its threads do.
    package func close() throws { try group.syncShutdownGracefully() }

    private static func open(
        _ socket: consuming OwnedDescriptor, on loop: any EventLoop, _ make: @escaping @Sendable () -> Listener
    ) throws -> Entrance {
        try requireListening(socket)
        let listener = try loop.submit { NIOLoopBound(make(), eventLoop: loop) }.wait()
        let raw = socket.release()
        let channel = try ServerBootstrap(group: loop)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try listener.value.accept(channel) }
            }
            .withBoundSocket(raw).wait()
        // NIO has listened again, with a shorter backlog.
        try systemCall("listen", on: "descriptor \(raw)") { listen(raw, OwnedDescriptor.backlog) }
        return Entrance(channel: channel, listener: listener)
    }
}
