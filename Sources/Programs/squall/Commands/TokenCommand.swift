import AgentAPI
import AgentClient
import ArgumentParser
import ChaosModel

struct TokenCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "token",
        abstract: "Prints a signed token, for other HTTP clients.",
        discussion: """
            A token is good once, for one operation on one node, for 30 seconds.

            Examples:
              TOKEN=$(squall token inject cpu-stress --container $ID --key shop.key.jwk)
              curl --unix-socket /run/squall/squall.sock \\
                -H "Authorization: Bearer $TOKEN" -X POST http://localhost/v1/sessions

              TOKEN=$(squall token end --session $SESSION --key shop.key.jwk)
              curl --unix-socket /run/squall/squall.sock \\
                -H "Authorization: Bearer $TOKEN" \\
                -X DELETE http://localhost/v1/sessions/$SESSION
            """,
        subcommands: [Inject.self, Plan.self, Read.self, Renew.self, End.self])

    /// Whose token, and how it is printed.
    struct PrintingOptions: ParsableArguments {
        @OptionGroup var tenant: TenantOptions
        @OptionGroup var output: OutputOptions

        func print(tokenFor request: TenantRequest, _ output: Output) throws(Failure) -> ExitStatus {
            let token = try tenant.tenancy.signed(request).token
            switch output.format {
            case .table: try output.line(token)
            case .json: try output.document(["token": .string(token)])
            }
            return .success
        }
    }

    struct Inject: ReportingCommand {
        static let configuration = CommandConfiguration(
            abstract: "A token that opens a session, or a group: POST /v1/sessions.",
            discussion: """
                Examples:
                  squall token inject cpu-stress load=50 --container $ID --key shop.key.jwk
                  squall token inject network-latency --container $ID --duration 2m \\
                    --key shop.key.jwk --node node-7
                """)

        @OptionGroup var injection: InjectionOptions
        @OptionGroup(title: "Signing and output") var printing: PrintingOptions
        var outputOptions: OutputOptions { printing.output }

        func perform(_ output: Output) throws(Failure) -> ExitStatus {
            try printing.print(tokenFor: .inject(try injection.injection()), output)
        }
    }

    struct Plan: ReportingCommand {
        static let configuration = CommandConfiguration(
            abstract: "A token that asks what would be done: POST /v1/plans.",
            discussion: """
                Examples:
                  squall token plan cpu-stress load=50 --container $ID --key shop.key.jwk
                """)

        @OptionGroup var injection: InjectionOptions
        @OptionGroup(title: "Signing and output") var printing: PrintingOptions
        var outputOptions: OutputOptions { printing.output }

        func perform(_ output: Output) throws(Failure) -> ExitStatus {
            try printing.print(tokenFor: .plan(try injection.injection()), output)
        }
    }

    struct Read: ReportingCommand {
        static let configuration = CommandConfiguration(
            abstract: "A token that reads a session, its events or a group, or without either lists sessions: GET.",
            discussion: """
                Examples:
                  squall token read --key shop.key.jwk
                  squall token read --session $SESSION --key shop.key.jwk
                """)

        @OptionGroup var about: ScopeOptions

        @OptionGroup(title: "Signing and output") var printing: PrintingOptions
        var outputOptions: OutputOptions { printing.output }

        func perform(_ output: Output) throws(Failure) -> ExitStatus {
            try printing.print(tokenFor: about.optional.map { .read($0) } ?? .list, output)
        }
    }

    struct Renew: ReportingCommand {
        static let configuration = CommandConfiguration(
            abstract: "A token that renews a lease: POST /v1/sessions/ID/lease, or of a group /v1/groups/ID/lease.",
            discussion: """
                Examples:
                  squall token renew --session $SESSION --key shop.key.jwk
                """)

        @OptionGroup var about: ScopeOptions

        @OptionGroup(title: "Signing and output") var printing: PrintingOptions
        var outputOptions: OutputOptions { printing.output }

        func perform(_ output: Output) throws(Failure) -> ExitStatus {
            try printing.print(tokenFor: .renew(try about.scope), output)
        }
    }

    struct End: ReportingCommand {
        static let configuration = CommandConfiguration(
            abstract: "A token that ends a session: DELETE /v1/sessions/ID, or a group: /v1/groups/ID.",
            discussion: """
                Examples:
                  squall token end --session $SESSION --key shop.key.jwk
                """)

        @OptionGroup var about: ScopeOptions

        @OptionGroup(title: "Signing and output") var printing: PrintingOptions
        var outputOptions: OutputOptions { printing.output }

        func perform(_ output: Output) throws(Failure) -> ExitStatus {
            try printing.print(tokenFor: .end(try about.scope), output)
        }
    }
}
