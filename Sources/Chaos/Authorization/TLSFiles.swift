import ChaosModel
package import LinuxSystem
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

    package struct Contents: Hashable, Sendable {
        /// SHA-256 of all of them.
        package let hash: String
        package let certificate: [UInt8]
        package let privateKey: [UInt8]
        package let clientAuthorities: [UInt8]
    }

    /// Each file's. An authority's certificate has some 2 KiB.
    package static let maximumLength = 128 << 10

    private let paths: Paths
    /// As they were when all of them could be read.
    package private(set) var contents: Contents?
    /// Why they cannot be read now.
    package private(set) var failure: String?
    private var stamps: [FileStamp] = []
    private var nextLook: BootInstant

    package init(watching paths: Paths) {
        self.paths = paths
        nextLook = .now
    }

    /// Reads them again if any has changed, and looks for that at most once a second.
    package mutating func look(at now: BootInstant) {
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
            contents = Contents(
                hash: try SHA256.hex(of: bytes.flatMap { try SHA256.hex(of: $0).utf8 }), certificate: bytes[0],
                privateKey: bytes[1], clientAuthorities: bytes[2])
            stamps = current
            failure = nil
        } catch {
            stamps = []
            failure = "\(error)".cut(to: 512)
        }
    }
}
