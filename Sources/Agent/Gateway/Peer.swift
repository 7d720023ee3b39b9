import Glibc
import LinuxSystem
import NIOCore

/// Who is at a connection's other end, as far as the kernel tells.
enum Peer: Hashable {
    case address(String)
    /// On a Unix socket.
    case process(pid_t)
    case unknown

    /// The corresponding system calls are `getpeername(2)` and, on a Unix socket, `getsockopt(2)` with `SO_PEERCRED`.
    init(of channel: any Channel) {
        if let address = channel.remoteAddress?.ipAddress {
            self = .address(address)
            return
        }
        var process: pid_t?
        if let options = channel as? any SocketOptionProvider {
            let credentials: EventLoopFuture<Credentials> = options.unsafeGetSocketOption(
                level: .socket, name: NIOBSDSocket.Option(rawValue: SO_PEERCRED))
            // On the channel's own loop it has been looked up already.
            credentials.assumeIsolated().whenSuccess { process = $0.process }
        }
        self = process.map(Peer.process) ?? .unknown
    }
}

/// As `struct ucred`.
private struct Credentials: Sendable {
    let process: pid_t
    let user: uid_t
    let group: gid_t
}

/// What each peer has taken of one listener, so that one that goes wild leaves the others room.
struct PeerBook {
    private struct Page {
        var connections = 0
        var requests: TokenBucket
        var handshakes: TokenBucket
    }

    private let requests: Rate
    private let handshakes: Rate
    private let mostConnections: Int
    private var pages: [Peer: Page] = [:]
    /// Peers whose pages are kept when nobody is connected.
    private static let mostPages = 4096

    init(limits: Limits, mostConnections: Int) {
        requests = Self.rate(limits.requestsPerSecond)
        handshakes = Self.rate(limits.handshakesPerSecond)
        self.mostConnections = mostConnections
    }

    private static func rate(_ perSecond: Int) -> Rate {
        Rate(atOnce: Double(perSecond) * 2, perSecond: Double(perSecond))
    }

    /// False when the peer has as many connections as it may.
    mutating func open(_ peer: Peer, at now: BootInstant) -> Bool {
        if pages.count >= Self.mostPages { pages = pages.filter { $0.value.connections > 0 } }
        var page =
            pages[peer]
            ?? Page(requests: TokenBucket(requests, at: now), handshakes: TokenBucket(handshakes, at: now))
        guard page.connections < mostConnections else { return false }
        page.connections += 1
        pages[peer] = page
        return true
    }

    mutating func close(_ peer: Peer) {
        pages[peer]?.connections -= 1
    }

    /// False when the peer has asked for too much in too short a time.
    mutating func request(_ peer: Peer, at now: BootInstant) -> Bool {
        pages[peer]?.requests.take(requests, at: now) ?? false
    }

    /// The same, of handshakes.
    mutating func handshake(_ peer: Peer, at now: BootInstant) -> Bool {
        pages[peer]?.handshakes.take(handshakes, at: now) ?? false
    }
}
