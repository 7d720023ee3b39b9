import AgentAPI
import ChaosModel
import Foundation
import Gateway
import Testing

/// docs/openapi.yaml against the code. Its layout is our own, so lines are enough; no YAML is parsed here.
@Suite struct DocumentTests {
    private let lines: [Substring]

    init() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../..")
        lines = try String(contentsOf: root.appending(path: "docs/openapi.yaml"), encoding: .utf8)
            .split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// The lines below a heading that are indented deeper.
    private func section(_ heading: String) -> [Substring] {
        let depth = heading.prefix { $0 == " " }.count
        return lines.drop { $0 != heading }.dropFirst()
            .prefix { $0.isEmpty || $0.prefix { $0 == " " }.count > depth }
    }

    @Test func `the document names every problem code`() {
        let documented = section("    ProblemCode:").filter { $0.hasPrefix("        - ") }
            .map { String($0.dropFirst(10)) }
        #expect(Set(documented) == Set(ProblemCode.allCases.map(\.rawValue)))
        #expect(documented.count == ProblemCode.allCases.count)
    }

    @Test func `the document has each resource's methods, and no others`() {
        for resource in Resource.allCases {
            let methods = section("  \(resource.rawValue):").filter { $0.prefix { $0 == " " }.count == 4 }
                .map { $0.dropFirst(4).dropLast().uppercased() }.filter { $0 != "PARAMETERS" }
            #expect(Set(methods) == Set(resource.endpoints.map(\.method)), "\(resource.rawValue)")
        }
        let paths = section("paths:").filter { $0.hasPrefix("  /") }.map { String($0.dropFirst(2).dropLast()) }
        #expect(Set(paths) == Set(Resource.allCases.map(\.rawValue)))
    }

    @Test(arguments: Route.allCases)
    func `every route is an operation of the document, and a resource has it`(route: Route) {
        #expect(lines.contains("      operationId: \(route.rawValue)"))
        #expect(Resource.allCases.contains { $0.endpoints.contains { $0.endpoint == .signed(route) } })
    }

    @Test(arguments: PublicQuery.allCases)
    func `every query is an operation of the document, and a resource has it`(query: PublicQuery) {
        #expect(lines.contains("      operationId: \(query.rawValue)"))
        #expect(Resource.allCases.contains { $0.endpoints.contains { $0.endpoint == .open(query) } })
    }

    @Test func `the document names every operation and every ending`() {
        let text = lines.joined(separator: "\n")
        for operation in Operation.allCases { #expect(text.contains("`\(operation.rawValue)`")) }
        let endings = section("        ending:").first { $0.contains("enum:") } ?? ""
        let documented = endings.split { " []:,".contains($0) }.dropFirst().map(String.init)
        #expect(Set(documented) == Set(Ending.allCases.map(\.rawValue)))
    }
}
