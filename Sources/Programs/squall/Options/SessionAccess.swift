import ArgumentParser
import ChaosModel

/// How to get at sessions: as operator or as tenant.
struct SessionAccess: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The tenant's private key. Without it, as operator: root, through the engine's socket.", valueName: "file"),
        completion: .file(extensions: ["jwk"]))
    var key: String?

    @OptionGroup var signing: SignerOptions
    @OptionGroup var connection: ConnectionOptions

    var agent: Agent {
        get throws(Failure) {
            if let key {
                return .gateway(
                    Tenancy(gateway: connection.gateway, signer: try signing.signer(key: key, connection)))
            }
            if connection.isOperator { return .engine(connection.engine) }
            throw Failure(
                .invalid, "there is no key, and \(connection.reasonForNoOperator)", field: "--key",
                hint: "give --key as tenant; or as operator, run this as root on the node or in the agent's container")
        }
    }
}
