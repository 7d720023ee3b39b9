import AgentAPI
import Glibc
import LinuxSystem

/// A connection to one of the agent's sockets, for one request. Its errors name the socket.
struct AgentConnection: ~Copyable {
    private let stream: UnixStream
    private let socket: String

    init(to socket: String, timeout: Duration?) throws(ClientError) {
        self.socket = socket
        do throws(SystemCallError) {
            stream = try UnixStream(connectingTo: socket, timeout: timeout)
        } catch {
            throw ClientError(socket: socket, .notConnected(error))
        }
    }

    /// Who is told no before the request is whole may see its connection closed while it still sends:
    /// the answer is there to be read nevertheless.
    func send(_ bytes: [UInt8]) throws(ClientError) {
        do throws(SystemCallError) {
            var left = bytes[...]
            while !left.isEmpty {
                let count = try systemCall("send", on: socket) {
                    left.withUnsafeBytes {
                        Glibc.send(stream.descriptor.rawValue, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                    }
                }
                left = left.dropFirst(count)
            }
        } catch  where error.errno == .brokenPipe {
            return
        } catch {
            throw ClientError(socket: socket, .disconnected(error))
        }
    }

    /// The next bytes; empty when the other side has closed.
    func receive() throws(ClientError) -> [UInt8] {
        do throws(SystemCallError) {
            return try stream.receive()
        } catch {
            throw ClientError(socket: socket, .disconnected(error))
        }
    }
}
