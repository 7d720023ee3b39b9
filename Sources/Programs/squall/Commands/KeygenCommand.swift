import ArgumentParser
import ChaosModel
import Glibc
import LinuxSystem
import Signatures

extension SignatureAlgorithm: ExpressibleByArgument {}

struct KeygenCommand: ReportingCommand {
    static let configuration = CommandConfiguration(
        commandName: "keygen",
        abstract: "Makes a tenant's key pair.",
        discussion: """
            Writes TENANT\(SignerOptions.keyFileSuffix), the private key, readable by its owner only, and \
            TENANT.jwks.json, the public one, for \(Self.tenantDirectory) on every node that is to trust it.

            Examples:
              squall keygen --tenant shop
              squall keygen --tenant shop --algorithm ES256 --out /root/keys
            """)

    private static let tenantDirectory = "/etc/squall/tenants/"

    @Option(help: ArgumentHelp("The tenant: lower-case letters, digits, inner hyphens.", valueName: "name"))
    var tenant: String

    @Option(help: "The signature algorithm.")
    var algorithm = SignatureAlgorithm.edDSA

    @Option(help: ArgumentHelp("Where to write the files.", valueName: "directory"), completion: .directory)
    var out = "."

    @Flag(help: "Replace files that exist. Who has only the old key is then locked out.")
    var force = false

    @OptionGroup(title: "Output") var outputOptions: OutputOptions

    func perform(_ output: Output) throws(Failure) -> ExitStatus {
        let tenant = try SignerOptions.tenant(tenant)
        let privatePath = "\(out)/\(tenant)\(SignerOptions.keyFileSuffix)"
        let publicPath = "\(out)/\(tenant).jwks.json"
        if !force {
            for path in [privatePath, publicPath] where access(path, F_OK) == 0 {
                throw Failure(.invalid, "\(path) exists", hint: "give --force to replace it")
            }
        }
        let key: PrivateKey
        let jwk: JSON
        do throws(CryptoError) {
            key = try PrivateKey(generating: algorithm)
            jwk = try key.jwk
        } catch {
            throw Failure(.notAsAsked, "cannot make a key: \(error)")
        }
        do throws(SystemCallError) {
            try write(jwk, to: privatePath, mode: 0o600)
            try write(["keys": [key.publicKey.jwk]], to: publicPath, mode: 0o644)
        } catch {
            throw Failure(
                .invalid, "cannot write: \(error)", field: "--out", hint: "name a directory that this user may write to"
            )
        }
        switch output.format {
        case .json:
            try output.document([
                "tenant": .string(tenant.name), "kid": .string(key.publicKey.id), "privateKey": .string(privatePath),
                "publicKeys": .string(publicPath),
            ])
        case .table:
            try output.lines(explanation(privatePath, publicPath, output))
        }
        return .success
    }

    /// A new file, never one that was there: its owner and mode are then what they should be.
    private func write(_ json: JSON, to path: String, mode: UInt32) throws(SystemCallError) {
        if force && access(path, F_OK) == 0 {
            try systemCall("unlink", on: path) { unlink(path) }
        }
        let file = try OwnedDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL, mode: mode)
        try file.writeAll(Array((json.prettyText + "\n").utf8), subject: path)
    }

    private func explanation(_ privatePath: String, _ publicPath: String, _ output: Output) -> [String] {
        var table = Table()
        table.add("private key", Table.Cell(privatePath), "whoever reads it can inject as this tenant")
        table.add("public key", Table.Cell(publicPath), Table.Cell("copy it to \(Self.tenantDirectory) on each node"))
        return table.lines(for: output) + [
            "", "Then, for example:", "  squall inject cpu-stress load=50 --container ID --key \(privatePath) --wait",
        ]
    }
}
