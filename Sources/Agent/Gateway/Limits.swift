/// How much of the gateway one client, and all clients together, may hold, and for how long.
package struct Limits: Sendable {
    /// How many connections are served at once, each with at most one connection to the engine, beside
    /// 16 that rest.
    package var connections = 256
    package var probeConnections = 64
    /// Of these, how many one peer may have: a process on the Unix socket, an address on the others.
    package var connectionsPerPeer = 64
    package var probeConnectionsPerPeer = 4
    /// Requests of one peer in a second, twice as many at once.
    package var requestsPerSecond = 500
    /// TLS handshakes of one peer in a second, twice as many at once: each costs a signature.
    package var handshakesPerSecond = 50
    /// How many connections beyond those are told so at once; the rest are closed without a word.
    package var refusals = 64

    /// Request line and header fields together.
    package var headerBytes = 32 << 10
    package var tokenBytes = 16 << 10
    /// How much of a body is read only to say that none is wanted.
    package var bodyBytes = 64 << 10

    /// From a request's first byte to its last.
    package var requestTime = Duration.seconds(10)
    /// Between a response and the next request.
    package var idleTime = Duration.seconds(75)
    package var probeIdleTime = Duration.seconds(5)
    /// How long a client may leave a response unread.
    package var stalledTime = Duration.seconds(30)
    /// How long a connection that is being closed still takes, and drops, what the client sends:
    /// a reset would destroy the response that it has not read yet.
    package var lingerTime = Duration.seconds(1)

    /// From a connection's first moment to the end of its TLS handshake.
    package var handshakeTime = Duration.seconds(10)
    /// How often the engine is asked for what TLS is served with.
    package var credentialsInterval = Duration.seconds(1)

    package var connectTime = Duration.seconds(5)
    /// Until the engine's first reply.
    package var answerTime = Duration.seconds(60)
    /// The same, of the probe that asks whether the engine's loop turns: below the time that kubelet has for it.
    package var probeTime = Duration.seconds(4)
    /// For how long a request is offered again when the engine went away before it replied.
    package var recoveryTime = Duration.seconds(5)
    package var recoveryPause = Duration.milliseconds(100)

    /// For how long requests may finish after the gateway was told to stop.
    package var drainTime = Duration.seconds(5)

    package init() {}
}
