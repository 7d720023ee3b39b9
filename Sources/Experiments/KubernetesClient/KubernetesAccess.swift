import CLinux
import ChaosModel
import Glibc
package import HTTPClient
import LinuxSystem
import Signatures
import YAML

/// Where a cluster's API is, and who asks.
package struct KubernetesAccess: Sendable {
    private enum Credential: Sendable {
        /// A client's certificate says who it is.
        case none
        case token(String)
        /// Read anew for each request: it is replaced before it expires.
        case tokenFile(String)
    }

    /// Without a slash at its end.
    package let server: String
    package let trust: TLSTrust
    package let namespace: String
    private let credential: Credential
    /// What is in the kubeconfig instead of in files of its own, for as long as somebody needs it.
    private let files: [PEMFile]

    private static let account = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// That of the pod that this runs in; without one that of `KUBECONFIG` or `~/.kube/config`.
    ///
    /// - Parameter kubeconfig: A file, which then is the only one that is looked at.
    package static func standard(kubeconfig: String? = nil) throws(KubernetesError) -> KubernetesAccess {
        if let kubeconfig { return try KubernetesAccess(kubeconfig: kubeconfig) }
        if let named = variable("KUBECONFIG") {
            let files = named.split(separator: ":").map(String.init)
            guard files.count == 1 else {
                throw KubernetesError(status: nil, "KUBECONFIG names \(files.count) files, and only one can be read")
            }
            return try KubernetesAccess(kubeconfig: files[0])
        }
        if let pod = try inPod() { return pod }
        guard let home = variable("HOME"), access("\(home)/.kube/config", F_OK) == 0 else {
            throw KubernetesError(
                status: nil, "no cluster is known: this is no pod with a service account, and there is no kubeconfig")
        }
        return try KubernetesAccess(kubeconfig: "\(home)/.kube/config")
    }

    private static func variable(_ name: String) -> String? {
        environmentVariable(name).flatMap { $0.isEmpty ? nil : $0 }
    }

    private static func inPod() throws(KubernetesError) -> KubernetesAccess? {
        guard let host = variable("KUBERNETES_SERVICE_HOST"), let port = variable("KUBERNETES_SERVICE_PORT"),
            access("\(account)/token", F_OK) == 0
        else { return nil }
        return KubernetesAccess(
            server: "https://\(InternetAddress.bracketed(host)):\(port)",
            trust: TLSTrust(authorities: "\(account)/ca.crt"),
            namespace: try text(of: "\(account)/namespace"), credential: .tokenFile("\(account)/token"), files: [])
    }

    private init(server: String, trust: TLSTrust, namespace: String, credential: Credential, files: [PEMFile]) {
        self.server = server
        self.trust = trust
        self.namespace = namespace
        self.credential = credential
        self.files = files
    }

    /// By the file's current context.
    ///
    /// - Throws: Also when it wants a program to be run for its credentials, or a password.
    private init(kubeconfig path: String) throws(KubernetesError) {
        let document: JSON
        do throws(YAMLError) {
            document = try YAMLNode(parsing: Array(try Self.text(ofLong: path).utf8)).json
        } catch {
            throw KubernetesError(status: nil, "\(path): \(error)")
        }
        func refusal(_ reason: String) -> KubernetesError { KubernetesError(status: nil, "\(path): \(reason)") }
        func entry(_ list: String, _ kind: String, _ name: String) throws(KubernetesError) -> JSON {
            let entries = document[list]?.arrayValue ?? []
            guard let found = entries.first(where: { $0["name"]?.stringValue == name })?[kind] else {
                throw refusal("it has no \(kind) \"\(name)\"")
            }
            return found
        }
        guard let name = document["current-context"]?.stringValue, !name.isEmpty else {
            throw refusal("it has no current-context")
        }
        let context = try entry("contexts", "context", name)
        let cluster = try entry("clusters", "cluster", context["cluster"]?.stringValue ?? "")
        let user = try entry("users", "user", context["user"]?.stringValue ?? "")
        for unknown in ["exec", "auth-provider", "username"] where user[unknown] != nil {
            throw refusal("credentials by \(unknown) cannot be used here: give the user a token or a certificate")
        }
        guard let address = cluster["server"]?.stringValue else { throw refusal("the cluster has no server") }
        server = address.hasSuffix("/") ? String(address.dropLast()) : address
        namespace = context["namespace"]?.stringValue ?? "default"

        var files: [PEMFile] = []
        let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "."
        func file(_ member: String, of entry: JSON) throws(KubernetesError) -> String? {
            if let data = entry["\(member)-data"]?.stringValue {
                guard let bytes = Self.bytes(base64: data) else { throw refusal("\(member)-data is no base64") }
                do throws(SystemCallError) {
                    let file = try PEMFile(bytes)
                    files.append(file)
                    return file.path
                } catch {
                    throw refusal("\(member)-data: \(error)")
                }
            }
            // Relative to where the kubeconfig is.
            return entry[member]?.stringValue.map { $0.hasPrefix("/") ? $0 : "\(folder)/\($0)" }
        }
        var trust = TLSTrust(
            authorities: try file("certificate-authority", of: cluster),
            serverName: cluster["tls-server-name"]?.stringValue,
            isInsecure: cluster["insecure-skip-tls-verify"]?.booleanValue ?? false)
        trust.certificate = try file("client-certificate", of: user)
        trust.key = try file("client-key", of: user)
        self.trust = trust
        self.files = files
        if let path = try file("tokenFile", of: user) {
            credential = .tokenFile(path)
        } else {
            credential = user["token"]?.stringValue.map { .token($0) } ?? .none
        }
    }

    func token() throws(HTTPError) -> String? {
        switch credential {
        case .none: return nil
        case .token(let token): return token
        case .tokenFile(let path):
            do throws(KubernetesError) {
                return try Self.text(of: path)
            } catch {
                throw HTTPError(reason: error.description)
            }
        }
    }

    private static func text(of path: String) throws(KubernetesError) -> String {
        do throws(SystemCallError) {
            let text = try TextFile.read(path, atMost: 1 << 20)
            return String(text.drop(while: \.isWhitespace).prefix { !$0.isWhitespace })
        } catch {
            throw KubernetesError(status: nil, "cannot read \(path): \(error.errno)")
        }
    }

    private static func text(ofLong path: String) throws(YAMLError) -> String {
        do throws(SystemCallError) {
            return try TextFile.read(path, atMost: 1 << 20)
        } catch {
            throw YAMLError("it cannot be read: \(error.errno)", line: 1)
        }
    }

    private static func bytes(base64 text: String) -> [UInt8]? {
        var url = ""
        for character in text where !character.isWhitespace && character != "=" {
            url.append(character == "+" ? "-" : character == "/" ? "_" : character)
        }
        return Base64URL.decode(url)
    }
}

/// A file in memory that OpenSSL can read by its path, and that nobody else has.
private final class PEMFile: Sendable {
    private let descriptor: OwnedDescriptor

    var path: String { "/proc/self/fd/\(descriptor.rawValue)" }

    init(_ bytes: [UInt8]) throws(SystemCallError) {
        descriptor = OwnedDescriptor(
            adopting: try systemCall("memfd_create", on: "a PEM file") {
                clinux_memfd_shared("pem", Int64(bytes.count))
            })
        try descriptor.writeAll(bytes, subject: "a PEM file")
    }
}
