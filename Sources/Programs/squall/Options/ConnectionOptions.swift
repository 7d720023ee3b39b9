import AgentAPI
import AgentClient
import ArgumentParser
import ChaosModel
import Glibc

struct ConnectionOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("The gateway's socket.", valueName: "path"), completion: .file())
    var socket = "/run/squall/squall.sock"

    @Option(
        help: ArgumentHelp("The engine's socket, for root on the node.", valueName: "path"), completion: .file())
    var engineSocket = Self.standardEngineSocket

    static let standardEngineSocket = "/run/squalld/engine.sock"

    /// Changing and reverting wait for the kernel; what takes longer than this hangs.
    private static let timeout = Duration.seconds(30)

    var gateway: GatewayClient { GatewayClient(socket: socket, timeout: Self.timeout) }
    var engine: OperatorClient { OperatorClient(socket: engineSocket, timeout: Self.timeout) }

    /// Whether this is root where the engine has its socket.
    var isOperator: Bool { Self.isOperator(at: engineSocket) }

    static func isOperator(at engineSocket: String) -> Bool { geteuid() == 0 && access(engineSocket, F_OK) == 0 }

    /// Why this is no operator, where it is none.
    var reasonForNoOperator: String {
        geteuid() == 0 ? "no engine has its socket at \(engineSocket)" : "this is not root, who would be the operator"
    }

    /// The engine, for what only an operator may ask it.
    var engineForOperator: OperatorClient {
        get throws(Failure) {
            guard geteuid() == 0 else {
                throw Failure(
                    .unauthorized, "only an operator may ask this, and this is not root",
                    hint: "run this as root, on the node or in the agent's container")
            }
            return engine
        }
    }

    func answer(to query: PublicQuery) throws(Failure) -> JSON {
        try reaching { () throws(ClientError) in
            isOperator ? try engine.answer(to: query) : try gateway.answer(to: query)
        }.acceptedBody
    }
}
