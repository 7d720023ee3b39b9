import AgentAPI
import Glibc
package import HTTPClient
import LinuxSystem

/// Where an agent listens.
package enum AgentEndpoint: Hashable, Sendable, CustomStringConvertible {
    /// A Unix socket's path.
    case socket(String)
    /// A port for mutual TLS.
    case tls(host: String, port: UInt16, TLSTrust)

    package var description: String {
        switch self {
        case .socket(let path): path
        case .tls(let host, let port, _): "\(InternetAddress.bracketed(host)):\(port)"
        }
    }
}

/// A connection to one of the agent's sockets, for one request. Its errors name the socket.
struct AgentConnection: ~Copyable {
    private enum Stream: ~Copyable {
        case unix(UnixStream)
        case tcp(TCPStream)
    }

    private let stream: Stream
    private let name: String
    /// Of a whole exchange over TCP: byte by byte, it could take for ever.
    private let deadline: BootInstant?

    /// Long enough for a handshake with a busy node.
    private static let patience = Duration.seconds(10)

    /// - Parameter timeout: How long it may take; nil for as long as it takes.
    init(to endpoint: AgentEndpoint, timeout: Duration?) throws(ClientError) {
        let deadline = timeout.map { BootInstant.now + $0 }
        stream = try Self.connected(to: endpoint, timeout: timeout)
        name = "\(endpoint)"
        self.deadline = deadline
    }

    private static func connected(to endpoint: AgentEndpoint, timeout: Duration?) throws(ClientError) -> Stream {
        switch endpoint {
        case .socket(let path):
            do throws(SystemCallError) {
                return .unix(try UnixStream(connectingTo: path, timeout: timeout))
            } catch {
                throw ClientError(socket: path, .notConnected(error))
            }
        case .tls(let host, let port, let trust):
            do throws(HTTPError) {
                return .tcp(try TCPStream(to: host, port: port, trust: trust, until: .now + (timeout ?? patience)))
            } catch {
                throw ClientError(socket: "\(endpoint)", .notReached(error.reason))
            }
        }
    }

    /// Who is told no before the request is whole may see its connection closed while it still sends:
    /// the answer is there to be read nevertheless.
    func send(_ bytes: [UInt8]) throws(ClientError) {
        switch stream {
        case .tcp(let stream):
            do throws(HTTPError) {
                try stream.send(bytes, until: deadline)
            } catch {
                throw ClientError(socket: name, .broken(error.reason))
            }
        case .unix(let stream):
            do throws(SystemCallError) {
                var left = bytes[...]
                while !left.isEmpty {
                    let count = try systemCall("send", on: name) {
                        left.withUnsafeBytes {
                            Glibc.send(stream.descriptor.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                        }
                    }
                    left = left.dropFirst(count)
                }
            } catch  where error.errno == .brokenPipe {
                return
            } catch {
                throw ClientError(socket: name, .disconnected(error))
            }
        }
    }

    /// The next bytes; empty when the other side has closed.
    func receive() throws(ClientError) -> [UInt8] {
        switch stream {
        case .tcp(let stream):
            do throws(HTTPError) {
                return try stream.receive(until: deadline)
            } catch {
                throw ClientError(socket: name, .broken(error.reason))
            }
        case .unix(let stream):
            do throws(SystemCallError) {
                return try stream.receive()
            } catch {
                throw ClientError(socket: name, .disconnected(error))
            }
        }
    }
}
