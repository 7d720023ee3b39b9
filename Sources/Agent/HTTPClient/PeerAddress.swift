import Glibc
package import LinuxSystem
import NameResolution

/// Finds the addresses of hosts as `hosts(5)` and the name servers of `resolv.conf(5)` tell them. A program that is linked
/// statically has no other way: the C library would load its own modules for it.
package enum PeerAddress {
    private static let port: UInt16 = 53
    private static let longestFile = 1 << 20

    /// - Parameter host: A name, or an address.
    /// - Throws: When it has none.
    package static func all(of host: String, port: UInt16, until deadline: BootInstant) throws(HTTPError)
        -> [InternetAddress]
    {
        if let address = InternetAddress(text: "\(InternetAddress.bracketed(host)):\(port)") { return [address] }
        var texts = HostsFile((try? TextFile.read("/etc/hosts", atMost: longestFile)) ?? "").addresses(of: host)
        if texts.isEmpty, host == "localhost" || host.hasSuffix(".localhost") { texts = ["127.0.0.1", "::1"] }
        if texts.isEmpty { texts = try asked(host, until: deadline) }
        let addresses = texts.compactMap {
            InternetAddress(text: "\(InternetAddress.bracketed($0)):\(port)")
        }
        guard !addresses.isEmpty else { throw HTTPError(reason: "\(host) has no address") }
        // IPv4 first: a host without IPv6 has addresses of it all the same.
        return addresses.filter { $0.bytes.count == 4 } + addresses.filter { $0.bytes.count != 4 }
    }

    private static func asked(_ host: String, until deadline: BootInstant) throws(HTTPError) -> [String] {
        let configuration = ResolverConfiguration((try? TextFile.read("/etc/resolv.conf", atMost: longestFile)) ?? "")
        var sockets: [Held] = []
        for server in configuration.nameServers {
            guard let address = InternetAddress(text: "\(InternetAddress.bracketed(server)):\(port)") else { continue }
            if let socket = try? Held(OwnedDescriptor.connected(to: address, over: .udp)) { sockets.append(socket) }
        }
        return try withExtendedLifetime(sockets) { () throws(HTTPError) in
            let servers = NameServers(sockets.map { $0.descriptor.rawValue }, until: deadline)
            switch servers.lookUp(configuration.candidates(for: host)) {
            case .found(let addresses, _): return addresses
            case .missing(let reason, _): throw HTTPError(reason: "\(host) cannot be looked up: \(reason)")
            }
        }
    }

    private final class Held {
        let descriptor: OwnedDescriptor

        init(_ descriptor: consuming OwnedDescriptor) { self.descriptor = descriptor }
    }
}
