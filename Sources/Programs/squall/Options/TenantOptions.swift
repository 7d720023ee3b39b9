import ArgumentParser

/// A tenant's key, and the gateway that it is used at.
struct TenantOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The tenant's private key, as 'squall keygen' makes it.", valueName: "file"),
        completion: .file(extensions: ["jwk"]))
    var key: String

    @OptionGroup var signer: SignerOptions
    @OptionGroup var connection: ConnectionOptions

    var tenancy: Tenancy {
        get throws(Failure) {
            Tenancy(gateway: connection.gateway, signer: try signer.signer(key: key, connection))
        }
    }
}
