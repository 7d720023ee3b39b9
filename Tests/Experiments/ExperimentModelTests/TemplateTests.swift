import ChaosModel
import ExperimentModel
import Testing

struct TemplateTests {
    private let context: JSON = [
        "inputs": ["limit": 30, "name": "web"],
        "steps": [
            "find": ["output": ["pods": [["name": "web-0"], ["name": "web-1"]], "none": .null, "odd/name": true]]
        ],
    ]

    @Test(
        arguments: [
            ("plain", "plain"), ("", ""), (7, 7), ("${{ inputs.limit }}", 30), ("${{inputs.name}}", "web"),
            ("at most ${{ inputs.limit }}s of ${{ inputs.name }}", "at most 30s of web"),
            ("${{ steps.find.output.pods[1].name }}", "web-1"), ("${{ steps.find.output.odd/name }}", true),
            ("${{ steps.find.output.pods }}!", "[{\"name\":\"web-0\"},{\"name\":\"web-1\"}]!"),
            (["a": ["${{ inputs.limit }}", "b"]], ["a": [30, "b"]]), ("$${{ inputs.limit }}", "$30"),
            ("{{ x }}", "{{ x }}"),
        ] as [(JSON, JSON)])
    func `stands for what the context has`(source: JSON, value: JSON) throws {
        #expect(try Template(source).value(in: context) == value)
    }

    @Test(arguments: [
        "${{", "${{ }}", "${{ a b }}", "${{ a[x] }}", "${{ a[-1] }}", "${{ a[0 }}", "${{ a. }}", "${{ .a }}",
    ])
    func `refuses what is no path`(text: String) {
        #expect(throws: TemplateError.self) { _ = try Template(.string(text)) }
    }

    @Test(arguments: [
        ("inputs.gone", "there are limit, name"), ("steps.find.output.pods[2]", "there are 2"),
        ("steps.find.output.none", "is null"), ("inputs.limit.more", "it is integer there"),
    ])
    func `says what is not there, and what is`(path: String, words: String) throws {
        let template = try Template(.string("${{ \(path) }}"))
        do throws(TemplateError) {
            _ = try template.value(in: context)
            Issue.record("it has a value")
        } catch {
            #expect("\(error)".contains(words))
        }
    }

    @Test func `is fixed when it refers to nothing`() throws {
        #expect(try Template(["a": 1]).fixed == ["a": 1])
        #expect(try Template("${{ inputs.limit }}").fixed == nil)
    }
}

struct CriterionTests {
    private func objection(_ actual: String, _ criteria: String, _ value: JSON, _ kind: Criterion.Kind? = nil) throws
        -> Bool
    {
        try Criterion(kind: kind, criteria: criteria, value: Template(value)).objection(to: actual, in: [:]) != nil
    }

    @Test(
        arguments: [
            ("7", "==", 7, false), ("7.0", "==", 7, false), ("8", "==", 7, true), ("7", "<=", 7, false),
            ("7.1", "<=", 7, true),
            ("7", "<", 7, true), ("7", ">", 6.5, false), ("7", ">=", 8, true), ("7", "!=", 7, true),
            ("7", "oneOf", [1, 7], false),
            ("7", "oneOf", [1, 2], true), ("7", "between", [7, 9], false), ("9.5", "between", [7, 9], true),
            ("seven", "==", 7, true),
            ("NaN", "!=", 7, true), ("+Inf", ">", 7, false),
            ("web-0", "equal", "web-0", false), ("web-0", "notEqual", "web-0", true),
            ("web-0", "contains", "eb", false),
            ("web-0", "notContains", "eb", true), ("web-0", "matches", "^web-[0-9]$", false),
            ("web-x", "matches", "^web-[0-9]$", true),
            ("web-0", "notMatches", "^db", false), ("a", "oneOf", ["a", "b"], false), ("c", "oneOf", ["a", "b"], true),
            ("7", "equal", 7, false),
        ] as [(String, String, JSON, Bool)])
    func `holds a value against another`(actual: String, criteria: String, value: JSON, isWrong: Bool) throws {
        #expect(try objection(actual, criteria, value) == isWrong)
    }

    @Test func `compares texts as numbers when it is told to`() throws {
        #expect(try objection("10", "<=", "9", .float))
        #expect(try !objection("8", "<=", "9", .float))
    }

    @Test(arguments: [("matches", "("), ("between", [1]), ("oneOf", 1), ("<=", "x")] as [(String, JSON)])
    func `refuses what nothing can be held against`(criteria: String, value: JSON) throws {
        #expect(throws: TemplateError.self) { _ = try objection("1", criteria, value) }
    }
}
