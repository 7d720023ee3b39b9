import AgentAPI
import Authorization
import ChaosModel
import LinuxSystem
import Signatures

/// What the gateway serves TLS with, as files that are looked at again while the agent runs. The gateway, which can open
/// nothing worth reading, is told their contents.
package struct TLSFiles: Sendable {
    /// Where they are. The names are those of Kubernetes' own servers.
    package struct Paths: Hashable, Sendable {
        /// The server's certificate and those between it and its authority.
        package let certificate: String
        package let privateKey: String
        /// The authorities whose certificates clients have.
        package let clientAuthorities: String

        package init(certificate: String, privateKey: String, clientAuthorities: String) {
            self.certificate = certificate
            self.privateKey = privateKey
            self.clientAuthorities = clientAuthorities
        }

        fileprivate var all: [String] { [certificate, privateKey, clientAuthorities] }
    }

    /// Each file's. An authority's certificate has some 2 KiB.
    private static let maximumLength = 128 << 10

    private let paths: Paths
    /// As they were when all of them could be read.
    private(set) var credentials: TLSCredentials?
    /// Why they cannot be read now.
    private(set) var failure: String?
    private var stamps: [FileStamp] = []
    private var nextLook: BootInstant

    init(watching paths: Paths) {
        self.paths = paths
        nextLook = .now
    }

    /// Reads them again if any has changed, and looks for that at most once a second.
    mutating func look(at now: BootInstant) {
        guard now >= nextLook else { return }
        nextLook = now + .seconds(1)
        do {
            // Before they are read: a change while they are read is then seen as one.
            let current = try paths.all.map { try FileStamp(of: $0) }
            guard current != stamps else { return }
            let bytes = try paths.all.map { try ConfigurationFile.read($0, atMost: Self.maximumLength) }
            for (path, bytes) in zip(paths.all, bytes) where !bytes.allSatisfy({ $0 < 0x80 }) {
                throw SystemCallError("read", on: "\(path), which is no PEM", errno: .invalidArgument)
            }
            let texts = bytes.map { String(decoding: $0, as: UTF8.self) }
            credentials = TLSCredentials(
                generation: try SHA256.hex(of: bytes.flatMap { try SHA256.hex(of: $0).utf8 }),
                certificateChain: texts[0], privateKey: texts[1], clientAuthorities: texts[2])
            stamps = current
            failure = nil
        } catch {
            stamps = []
            failure = "\(error)".cut(to: 512)
        }
    }
}
