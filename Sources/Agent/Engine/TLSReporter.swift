import AgentAPI
import ChaosModel
import LinuxSystem

/// Tells the gateway what to serve TLS with, and others how that goes.
actor TLSReporter {
    private var files: TLSFiles
    /// What the gateway said last.
    private var gateway = CredentialsQuery()

    init(_ paths: TLSFiles.Paths) {
        files = TLSFiles(watching: paths)
    }

    /// Empty while there is nothing else than the gateway knows.
    func answer(_ query: CredentialsQuery) -> Answer {
        gateway = query
        files.look(at: .now)
        guard let credentials = files.credentials, credentials.generation != query.known else {
            return Answer(status: 200, body: [:])
        }
        return Answer(status: 200, body: credentials.json)
    }

    /// How that goes, and until when the certificate in force is valid, in seconds since 1970. May be told to anybody.
    var state: (problem: String?, expires: Int64?) {
        let isBehind = files.credentials.map { $0.generation != gateway.known } ?? true
        let isExpired = gateway.expires.map { $0 <= wallSeconds() } ?? false
        let problem =
            files.failure ?? (isExpired ? "the certificate has expired" : nil) ?? gateway.problem?.cut(to: 512)
            ?? (isBehind ? "the gateway has not taken it over yet" : nil)
        return (problem, gateway.expires)
    }

    var report: JSON {
        let state = state
        return .object([
            ("problem", state.problem.map(JSON.string) ?? .null), ("expires", state.expires.map(JSON.integer)),
        ])
    }
}
