import AgentAPI
import AgentClient
import ArgumentParser
import ChaosModel
import LinuxSystem
import Signatures

/// Whose key signs, and for which node.
struct SignerOptions: ParsableArguments {
    static let keyFileSuffix = ".key.jwk"

    @Option(
        help: ArgumentHelp(
            "The tenant. Without it, SQUALL_TENANT, or the key file's name before \(keyFileSuffix).",
            valueName: "name"))
    var tenant: String?

    @Option(
        help: ArgumentHelp(
            "The node's name for itself. Without it, SQUALL_NODE, or the agent is asked.", valueName: "name"))
    var node: String?

    func signer(key path: String, _ connection: ConnectionOptions) throws(Failure) -> TokenSigner {
        let key = try Self.key(in: path)
        return TokenSigner(key: key, tenant: try owner(of: path), node: try nodeName(connection))
    }

    /// For a node whose name is known.
    func signer(key path: String, node: String) throws(Failure) -> TokenSigner {
        TokenSigner(key: try Self.key(in: path), tenant: try owner(of: path), node: node)
    }

    private static func key(in path: String) throws(Failure) -> PrivateKey {
        func refusal(_ reason: String, _ remedy: String) -> Failure {
            Failure(.invalid, "cannot use the key in \(path): \(reason)", field: "--key", hint: remedy)
        }
        let isPrivate =
            "name the file NAME\(keyFileSuffix) that squall keygen wrote; NAME.jwks.json is public and cannot sign"
        let text: String
        do throws(SystemCallError) {
            text = try TextFile.read(path)
        } catch {
            throw refusal("\(error.errno)", remedy(for: error.errno))
        }
        let json: JSON
        do throws(JSONError) {
            json = try JSON(parsing: text)
        } catch {
            throw refusal("not JSON: \(error)", isPrivate)
        }
        do throws(JWKError) {
            return try PrivateKey(jwk: json)
        } catch {
            throw refusal("\(error)", isPrivate)
        }
    }

    private static func remedy(for errno: Errno) -> String {
        switch errno {
        case .noEntry, .notDirectory: "make one with: squall keygen --tenant NAME"
        case .permissionDenied, .notPermitted: "run this as the key's owner, who alone may read it"
        default: "name the file NAME\(keyFileSuffix) that squall keygen wrote"
        }
    }

    private func owner(of path: String) throws(Failure) -> Tenant {
        let file = path.split(separator: "/").last ?? ""
        let named = file.hasSuffix(Self.keyFileSuffix) ? String(file.dropLast(Self.keyFileSuffix.count)) : nil
        guard let name = tenant ?? environmentVariable("SQUALL_TENANT") ?? named else {
            throw Failure(
                .invalid, "whose key is \(path)?", field: "--tenant",
                hint: "give --tenant, or name the file TENANT\(Self.keyFileSuffix)")
        }
        return try Self.tenant(name)
    }

    static func tenant(_ name: String) throws(Failure) -> Tenant {
        guard let tenant = Tenant(name) else {
            throw Failure(
                .invalid, "\"\(name)\" is not the name of a tenant", field: "--tenant",
                hint: "1 to 63 lower-case letters, digits and inner hyphens")
        }
        return tenant
    }

    private func nodeName(_ connection: ConnectionOptions) throws(Failure) -> String {
        if let name = node ?? environmentVariable("SQUALL_NODE") { return name }
        guard let name = try connection.answer(to: .name)["name"]?.stringValue else {
            throw Failure(
                .invalid, "the agent does not say what its node is called", field: "--node",
                hint: "give --node, the name that squalld was given")
        }
        return name
    }
}
