import AgentAPI
import ArgumentParser
import ChaosModel

/// Which faults work on this node, as its agent says.
struct NodeAbilities {
    private let faults: [JSON]?
    /// Why it is not known.
    let failure: Failure?

    init(asking connection: ConnectionOptions) {
        do throws(Failure) {
            faults = try connection.answer(to: .node)["faults"]?.arrayValue ?? []
            failure = nil
        } catch {
            faults = nil
            failure = error
        }
    }

    /// Nil where the agent has not said.
    func isWorking(_ kind: String) -> Bool? { entry(kind)?["works"]?.booleanValue }

    func reason(_ kind: String) -> String? { entry(kind)?["reason"]?.stringValue }

    func cell(_ kind: String) -> Table.Cell {
        switch isWorking(kind) {
        case true?: Table.Cell("yes", .good)
        case false?: Table.Cell("no", .bad)
        case nil: "?"
        }
    }

    private func entry(_ kind: String) -> JSON? {
        faults?.first { $0["kind"]?.stringValue == kind }
    }
}
