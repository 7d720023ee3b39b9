import Authorization
package import ChaosModel
import Faults
package import YAML

extension Experiment {
    package static let maximumLength = 1 << 20
    private static let mostSteps = 1000
    private static let mostProbes = 100
    static let standardTimeout = Duration.seconds(3600)
    static let timeouts = Duration.seconds(1)...Duration.seconds(86400)

    /// Reads an experiment's file, YAML or JSON.
    ///
    /// - Throws: With the line, the place in the document and what is allowed there: also when a fault's parameters are
    ///   wrong, or a template refers to what is not there by then, as far as that can be told beforehand.
    package init(yaml bytes: [UInt8]) throws(YAMLError) {
        guard bytes.count <= Self.maximumLength else {
            throw YAMLError("the experiment is longer than \(Self.maximumLength) bytes", line: 1)
        }
        var document = try YAMLSection(try YAMLNode(parsing: bytes), at: "")
        let version = try document.required("apiVersion")
        guard version.json == .string(Self.apiVersion) else { throw version.refusal("this is \(Self.apiVersion)") }
        let kind = try document.required("kind")
        guard kind.json == .string(Self.kind) else { throw kind.refusal("this is an \(Self.kind)") }
        var metadata = try document.required("metadata").section()
        name = try metadata.required("name").name()
        description = try metadata.take("description")?.text()
        labels = try metadata.section("labels")?.texts() ?? []
        try metadata.refuseUntaken()

        var spec = try document.required("spec").section()
        try document.refuseUntaken()
        hypothesis = try spec.take("hypothesis")?.text()
        inputs = try spec.section("inputs")?.sectionOfInputs() ?? []
        timeout = try spec.duration("timeout", in: Self.timeouts) ?? Self.standardTimeout
        seed = try spec.take("seed")?.integer(in: PodGroup.seeds)
        let probePlaces = try spec.take("probes")?.elements("probes", atMost: Self.mostProbes) ?? []
        var probes: [Probe] = []
        for place in probePlaces { probes.append(try Probe(place)) }
        let stepsPlace = try spec.required("steps")
        var names: Set<String> = []
        let steps = try ExperimentStep.list(stepsPlace, names: &names)
        try spec.refuseUntaken()
        guard !steps.isEmpty else { throw stepsPlace.refusal("at least one step") }
        guard names.count <= Self.mostSteps else { throw stepsPlace.refusal("more than \(Self.mostSteps) steps") }
        var seen: Set<String> = []
        for (probe, place) in zip(probes, probePlaces) where !seen.insert(probe.name).inserted {
            throw place.refusal("another probe is called \"\(probe.name)\"")
        }
        self.probes = probes
        self.steps = steps
        var scope = ReferenceScope(
            inputs: Set(inputs.map(\.name)), steps: [], allSteps: names, probes: Set(probes.map(\.name)),
            backgrounds: Set(steps.flatMap(\.withInner).filter(\.goesOn).map(\.name)))
        try scope.check(probes, at: probePlaces)
        try scope.check(steps, at: try stepsPlace.elements("steps"))
        let standards: JSON = .object(
            inputs.compactMap { input in
                input.standard.flatMap { $0 == .null ? nil : JSON.Member(input.name, $0) }
            })
        do throws(TemplateError) {
            try check(inputs: standards)
        } catch {
            throw stepsPlace.refusal("\(error)")
        }
    }

    /// Checks what depends on nothing but inputs: the parameters and targets of faults.
    ///
    /// - Parameter inputs: Their values, as far as they are known.
    /// - Throws: What is wrong with such values.
    package func check(inputs: JSON) throws(TemplateError) {
        for step in allSteps {
            guard case .fault(let order) = step.action else { continue }
            do throws(TemplateError) {
                try order.check(inputs: inputs)
            } catch {
                throw TemplateError("step \"\(step.name)\": \(error)")
            }
        }
    }
}

extension FaultOrder {
    /// As far as nothing but these inputs is needed; of parameters that need more, their names.
    fileprivate func check(inputs: JSON) throws(TemplateError) {
        let context: JSON = ["inputs": inputs]
        func known(_ template: Template) throws(TemplateError) -> JSON? {
            let isKnown = template.references.allSatisfy { reference in
                guard reference.parts.count > 1, reference.parts[0] == .member("inputs"),
                    case .member(let name) = reference.parts[1]
                else { return false }
                return inputs[name] != nil
            }
            return isKnown ? try template.value(in: context) : nil
        }
        let (knownParameters, knownTarget) = (try known(parameters), try known(target))
        do throws(Problem) {
            if let parameters = knownParameters {
                _ = try FaultCatalogue.fault(of: fault, parameters: parameters)
            } else if let names = FaultCatalogue.all.first(where: { $0.kind == fault })?.parameters.map(\.name) {
                for member in parameters.source.members ?? [] where !names.contains(member.name) {
                    throw Problem(.fieldUnknown, "\(fault) has no parameter \(member.name)")
                }
            }
            if let target = knownTarget { _ = try ExperimentTarget(target) }
        } catch {
            throw TemplateError("\(error.message)" + (error.field.map { " (\($0))" } ?? ""))
        }
    }
}

extension Experiment {
    /// 1 to 63 lower-case letters, digits and inner hyphens.
    package static func isName(_ text: String) -> Bool {
        (1...63).contains(text.utf8.count) && text.first != "-" && text.last != "-"
            && text.allSatisfy { $0.isASCII && ($0.isLowercase || $0.isNumber || $0 == "-") }
    }
}

extension ExperimentStep {
    static func list(_ place: YAMLPlace, names: inout Set<String>) throws(YAMLError) -> [ExperimentStep] {
        var steps: [ExperimentStep] = []
        for place in try place.elements("steps") { steps.append(try ExperimentStep(place, names: &names)) }
        return steps
    }

    static let kinds = ["fault", "script", "wait", "probe", "end", "deletePods", "http", "parallel", "serial"]

    /// What a step may have beside what it does.
    private static let known: Set = [
        "parameters", "target", "agents", "duration", "lease", "onRestart", "reason", "sequence", "background",
    ]

    private init(_ place: YAMLPlace, names: inout Set<String>) throws(YAMLError) {
        var section = try place.section()
        let namePlace = try section.required("name")
        name = try namePlace.name()
        guard names.insert(name).inserted else { throw namePlace.refusal("another step is called \"\(name)\"") }
        isOptional = try section.choice("onFailure", ["stop": false, "continue": true]) ?? false
        let actions = Self.kinds
        let given = section.places.map(\.0).filter(actions.contains)
        if given.isEmpty, let stray = section.places.first(where: { !Self.known.contains($0.0) }) {
            throw stray.1.refusal("unknown: a step has one of \(actions.joined(separator: ", "))")
        }
        guard given.count == 1 else {
            throw section.refusal("a step has exactly one of \(actions.joined(separator: ", "))")
        }
        switch given[0] {
        case "fault": action = .fault(try FaultOrder(&section))
        case "script": action = .script(try Script(try section.required("script")))
        case "wait": action = .wait(try section.required("wait").durationTemplate(ExperimentStep.waits))
        case "probe": action = .probe(try section.required("probe").name())
        case "end": action = .end(try section.required("end").name())
        case "deletePods": action = .deletePods(try PodDeletion(try section.required("deletePods")))
        case "http": action = .http(try HTTPAction(try section.required("http")))
        case "parallel": action = .parallel(try Self.list(try section.required("parallel"), names: &names))
        default: action = .serial(try Self.list(try section.required("serial"), names: &names))
        }
        try section.refuseUntaken()
    }
}

extension ExperimentStep {
    /// Whether its effect does when it is over, until it is ended.
    fileprivate var goesOn: Bool {
        switch action {
        case .fault(let order): order.isBackground
        case .http(let action): action.undo != nil
        case .script, .wait, .probe, .end, .deletePods, .parallel, .serial: false
        }
    }
}

extension FaultOrder {
    fileprivate init(_ section: inout YAMLSection) throws(YAMLError) {
        let faultPlace = try section.required("fault")
        let fault = try faultPlace.text()
        self.fault = fault
        guard FaultCatalogue.all.contains(where: { $0.kind == fault }) else {
            throw faultPlace.refusal("no fault is called \"\(fault.cut(to: 64))\": 'squall fault list' tells them")
        }
        let parametersPlace = section.take("parameters")
        let parameters = try parametersPlace?.template() ?? Template(fixed: [:])
        self.parameters = parameters
        if let known = parameters.fixed {
            do throws(Problem) {
                _ = try FaultCatalogue.fault(of: fault, parameters: known)
            } catch {
                throw (parametersPlace ?? faultPlace).refusal(
                    "\(error.message)" + (error.field.map { " (\($0))" } ?? ""))
            }
        }
        let targetPlace = try section.required("target")
        target = try targetPlace.template()
        if let known = target.fixed {
            do throws(Problem) {
                _ = try ExperimentTarget(known)
            } catch {
                throw targetPlace.refusal("\(error.message)" + (error.field.map { " (\($0))" } ?? ""))
            }
        }
        agents = try section.take("agents").map { (place) throws(YAMLError) in
            let agents = try place.template()
            guard let fixed = agents.fixed else { return agents }
            let names = (fixed.arrayValue ?? [fixed]).compactMap(\.stringValue)
            let isNames = !names.isEmpty && names.count == fixed.arrayValue?.count ?? 1
            let labels = fixed["labels"]?.members ?? []
            let isLabels =
                fixed.members?.count == 1 && !labels.isEmpty && labels.allSatisfy { $0.value.stringValue != nil }
            guard isNames || isLabels else {
                throw place.refusal("agents are names, as [node-1, \"db-*\"], or {labels: {NAME: VALUE}}")
            }
            return agents
        }
        duration =
            try section.take("duration")?.durationTemplate(InjectionRequest.durations)
            ?? Template(fixed: .string(InjectionRequest.defaultDuration.text))
        lease = try section.take("lease")?.durationTemplate(
            InjectionRequest.shortestLease...InjectionRequest.durations.upperBound)
        onRestart =
            try section.choice("onRestart", of: RestartPolicy.self) ?? .end
        reason = try section.take("reason")?.template()
        sequence =
            try section.choice("sequence", of: Sequence.self) ?? .parallel
        isBackground = try section.take("background")?.boolean() ?? false
        if isBackground, sequence == .serial { throw section.refusal("what is serial is not in the background") }
    }
}

extension PodDeletion {
    private static let durations = Duration.zero...Duration.seconds(7200)

    fileprivate init(_ place: YAMLPlace) throws(YAMLError) {
        var section = try place.section()
        let targetPlace = try section.required("target")
        target = try targetPlace.template()
        if let known = target.fixed {
            do throws(Problem) {
                try Self.check(try ExperimentTarget(known))
            } catch {
                throw targetPlace.refusal("\(error.message)" + (error.field.map { " (\($0))" } ?? ""))
            }
        }
        gracePeriod = try section.duration("gracePeriod", in: Self.durations)
        duration = try section.duration("duration", in: Self.durations) ?? .zero
        interval = try section.duration("interval", in: .seconds(1)...Duration.seconds(7200)) ?? .seconds(5)
        try section.refuseUntaken()
    }

    /// - Throws: When it is no target of pods that the cluster knows.
    package static func check(_ target: ExperimentTarget) throws(Problem) {
        switch target {
        case .workload, .agents(.pods), .agents(.one(.pod)): return
        case .agents(.one):
            throw Problem(.fieldInvalid, "what is deleted is a pod, pods or a workload's", field: "target")
        }
    }
}

extension Script {
    static let standardTimeout = Duration.seconds(60)

    init(_ place: YAMLPlace) throws(YAMLError) {
        var section = try place.section()
        (command, environment) = try Self.program(&section)
        self.place = try Self.place(&section)
        output =
            try section.choice("output", of: Output.self) ?? .text
        timeout = try section.duration("timeout", in: Experiment.timeouts) ?? Self.standardTimeout
        try section.refuseUntaken()
    }

    /// Of a probe, which has its own times.
    init(ofProbe place: YAMLPlace) throws(YAMLError) {
        var section = try place.section()
        (command, environment) = try Self.program(&section)
        self.place = try Self.place(&section)
        output = .text
        timeout = Self.standardTimeout
        try section.refuseUntaken()
    }

    private static func place(_ section: inout YAMLSection) throws(YAMLError) -> Place {
        let sshPlace = section.take("ssh")
        let pod = try pod(&section)
        guard let sshPlace else { return pod.map(Place.pod) ?? .here }
        guard pod == nil else { throw sshPlace.refusal("a script has an \"image\" or \"ssh\", not both") }
        var ssh = try sshPlace.section()
        let hostPlace = try ssh.required("host")
        let host = try hostPlace.template()
        if let fixed = host.fixed, fixed.stringValue?.isEmpty != false {
            throw hostPlace.refusal("a host's name or address")
        }
        let read = SSH(
            host: host, port: UInt16(try ssh.take("port")?.integer(in: 1...65535) ?? 22),
            user: try ssh.take("user")?.template(), keyFile: try ssh.required("keyFile").text(),
            knownHostsFile: try ssh.take("knownHostsFile")?.text())
        try ssh.refuseUntaken()
        return .ssh(read)
    }

    private static func pod(_ section: inout YAMLSection) throws(YAMLError) -> Pod? {
        let names = ["namespace", "serviceAccount", "imagePullSecrets"]
        guard let image = section.take("image") else {
            for name in names {
                if let place = section.take(name) { throw place.refusal("only with an \"image\"") }
            }
            return nil
        }
        guard image.json.stringValue?.isEmpty == false else { throw image.refusal("an image, as registry/name:tag") }
        let template = try image.template()
        return Pod(
            image: template, namespace: try section.take("namespace")?.text(),
            serviceAccount: try section.take("serviceAccount")?.text(),
            pullSecrets: try section.take("imagePullSecrets")?.list("names", of: "a Secret's name") { $0 } ?? [])
    }

    private static func program(_ section: inout YAMLSection) throws(YAMLError) -> (Template, Template) {
        let commandPlace = try section.required("command")
        let words = try commandPlace.elements("the program and its arguments, as [python3, leader.py]")
        guard !words.isEmpty else { throw commandPlace.refusal("the program and its arguments") }
        for word in words {
            switch word.json {
            case .string, .integer, .number: break
            default: throw word.refusal("an argument is a text")
            }
        }
        let environmentPlace = section.take("environment")
        _ = try environmentPlace?.section()
        return (try commandPlace.template(), try environmentPlace?.template() ?? Template(fixed: [:]))
    }
}

extension Probe {
    static let kinds = ["http", "tcp", "command", "prometheus", "kubernetes", "events"]

    init(_ place: YAMLPlace) throws(YAMLError) {
        var section = try place.section()
        name = try section.required("name").name()
        let given = section.places.map(\.0).filter(Self.kinds.contains)
        guard given.count == 1 else {
            throw section.refusal("a probe has exactly one of \(Self.kinds.joined(separator: ", "))")
        }
        let subject = try section.required(given[0])
        kind = try Self.kind(given[0], subject)
        mode =
            try section.choice("mode", of: Mode.self)
            ?? .edge
        expectation = try section.take("expect").map { (place) throws(YAMLError) in try Criterion(place) }
        within = try section.take("within")?.durationTemplate(Self.limits)
        weight = try section.take("weight")?.number(in: 0...1000) ?? 10
        timeout = try section.duration("timeout", in: .milliseconds(10)...Duration.seconds(3600)) ?? .seconds(5)
        attempts = Int(try section.take("attempts")?.integer(in: 1...1000) ?? 1)
        interval = try section.duration("interval", in: .milliseconds(10)...Duration.seconds(3600)) ?? .seconds(1)
        pollingInterval =
            try section.duration("pollingInterval", in: .milliseconds(100)...Duration.seconds(3600)) ?? .seconds(2)
        initialDelay = try section.duration("initialDelay", in: .zero...Duration.seconds(3600)) ?? .zero
        stopsOnFailure = try section.take("stopOnFailure")?.boolean() ?? false
        try section.refuseUntaken()
        switch kind {
        case .command, .prometheus, .events:
            if expectation == nil, given[0] != "command" { throw section.refusal("\"expect\" is missing") }
        case .kubernetes(let check):
            if check.path != nil, expectation == nil { throw section.refusal("with \"path\", \"expect\" is missing") }
        case .http, .tcp: break
        }
    }

    private static func kind(_ word: String, _ place: YAMLPlace) throws(YAMLError) -> Kind {
        if word == "command" { return .command(try Script(ofProbe: place)) }
        var section = try place.section()
        let kind: Kind
        switch word {
        case "http": kind = .http(try HTTPCheck(&section, method: "GET"))
        case "tcp":
            let place = try section.required("address")
            let address = try place.template()
            if let fixed = address.fixed, !(fixed.stringValue ?? "").contains(":") {
                throw place.refusal("an address as host:port")
            }
            kind = .tcp(address)
        case "prometheus":
            kind = .prometheus(
                try HTTPCheck(&section, method: nil), query: try section.required("query").template())
        case "kubernetes": kind = .kubernetes(try ResourceCheck(&section))
        default: kind = .events(kind: try section.required("kind").text())
        }
        try section.refuseUntaken()
        return kind
    }
}

extension Probe.ResourceCheck {
    fileprivate init(_ section: inout YAMLSection) throws(YAMLError) {
        apiVersion = try section.take("apiVersion")?.text() ?? "v1"
        let resourcePlace = try section.required("resource")
        resource = try resourcePlace.text()
        guard resource.allSatisfy({ $0.isASCII && ($0.isLowercase || $0.isNumber) }) else {
            throw resourcePlace.refusal("a resource in the plural, as deployments")
        }
        namespace = try section.take("namespace")?.template()
        name = try section.take("name")?.template()
        labels = try section.take("labelSelector")?.template() ?? Template(fixed: "")
        fields = try section.take("fieldSelector")?.template() ?? Template(fixed: "")
        isPresent = try section.choice("operation", ["present": true, "absent": false]) ?? true
        path = try section.take("path")?.text()
        if !isPresent, path != nil { throw section.refusal("what is absent has no \"path\"") }
    }
}

extension HTTPAction {
    private static let timeouts = Duration.seconds(1)...Duration.seconds(3600)

    fileprivate init(_ place: YAMLPlace) throws(YAMLError) {
        var section = try place.section()
        request = try HTTPCheck(&section, method: "POST")
        undo = try section.take("undo").map { (place) throws(YAMLError) in
            var section = try place.section()
            let undo = try HTTPCheck(&section, method: "POST")
            try section.refuseUntaken()
            return undo
        }
        timeout = try section.duration("timeout", in: Self.timeouts) ?? .seconds(30)
        try section.refuseUntaken()
    }
}

extension HTTPCheck {
    /// - Parameter standard: The method where none is told; nil for what is only read, which has no body either.
    fileprivate init(_ section: inout YAMLSection, method standard: String?) throws(YAMLError) {
        let place = try section.required("url")
        url = try place.template()
        if let fixed = url.fixed {
            guard let text = fixed.stringValue, text.hasPrefix("http://") || text.hasPrefix("https://") else {
                throw place.refusal("an address, as http://shop.example/health")
            }
        }
        headers = try section.take("headers")?.template() ?? Template(fixed: [:])
        isInsecure = try section.take("insecureSkipVerify")?.boolean() ?? false
        authorities = try section.take("caFile")?.text()
        bearerTokenFile = try section.take("bearerTokenFile")?.text()
        guard let standard else {
            (method, body, statuses) = ("GET", Template(fixed: ""), [])
            return
        }
        method = try section.take("method")?.method() ?? standard
        body = try section.take("body")?.template() ?? Template(fixed: "")
        statuses = try section.take("status")?.statuses() ?? []
    }
}

extension Criterion {
    fileprivate init(_ place: YAMLPlace) throws(YAMLError) {
        var section = try place.section()
        let kind = try section.choice("type", of: Kind.self)
        let criteria = try section.required("criteria").text()
        let valuePlace = try section.required("value")
        self.init(kind: kind, criteria: criteria, value: try valuePlace.template())
        try section.refuseUntaken()
        guard (Self.numberCriteria + Self.textCriteria).contains(criteria) else {
            throw place.refusal(
                "criteria is one of \((Self.numberCriteria + Self.textCriteria.dropLast()).joined(separator: ", "))")
        }
        guard let fixed = value.fixed else { return }
        do throws(TemplateError) {
            try check(fixed)
        } catch {
            throw valuePlace.refusal("\(error)")
        }
    }
}

/// What templates may refer to where they stand.
private struct ReferenceScope {
    let inputs: Set<String>
    /// Those that are over by then.
    var steps: Set<String>
    let allSteps: Set<String>
    let probes: Set<String>
    /// Steps whose effect goes on after them.
    let backgrounds: Set<String>

    /// What a step has is there as soon as it is over: those that run all the time wait for it.
    func check(_ probes: [Probe], at places: [YAMLPlace]) throws(YAMLError) {
        for (probe, place) in zip(probes, places) {
            var scope = self
            scope.steps = [.startOfTest, .edge].contains(probe.mode) ? [] : allSteps
            try scope.check(probe.templates, at: place)
        }
    }

    mutating func check(_ list: [ExperimentStep], at places: [YAMLPlace], areParallel: Bool = false) throws(YAMLError) {
        let before = steps
        var after = steps
        for (step, place) in zip(list, places) {
            if areParallel { steps = before }
            switch step.action {
            case .fault(let order):
                try check(
                    [order.parameters, order.target, order.duration]
                        + [order.agents, order.lease, order.reason].compactMap(\.self), at: place)
            case .script(let script): try check(script.templates, at: place)
            case .http(let action):
                try check(action.request.templates, at: place)
                // What takes it back may need what it answered.
                var scope = self
                scope.steps.insert(step.name)
                try scope.check(action.undo?.templates ?? [], at: place)
            case .deletePods(let deletion): try check([deletion.target], at: place)
            case .wait(let duration): try check([duration], at: place)
            case .probe(let name):
                guard probes.contains(name) else { throw place.refusal("no probe is called \"\(name)\"") }
            case .end(let name):
                guard steps.contains(name), backgrounds.contains(name) else {
                    throw place.refusal(
                        "no step before it is called \"\(name)\" and has a fault in the background, or an \"undo\"")
                }
            case .parallel(let inner):
                try check(inner, at: try Self.inner(place, "parallel"), areParallel: true)
            case .serial(let inner): try check(inner, at: try Self.inner(place, "serial"))
            }
            steps.insert(step.name)
            after.formUnion(steps)
        }
        steps = after
    }

    private static func inner(_ place: YAMLPlace, _ name: String) throws(YAMLError) -> [YAMLPlace] {
        var section = try place.section()
        return try section.required(name).elements("steps")
    }

    private func check(_ templates: [Template], at place: YAMLPlace) throws(YAMLError) {
        for reference in templates.flatMap(\.references) {
            let names = reference.parts.map { if case .member(let name) = $0 { name } else { "" } }
            let second = names.count > 1 ? names[1] : ""
            switch names[0] {
            case "inputs":
                guard inputs.contains(second) else {
                    throw place.refusal("\(reference): no input is called \"\(second)\"")
                }
            case "steps":
                guard allSteps.contains(second) else {
                    throw place.refusal("\(reference): no step is called \"\(second)\"")
                }
                guard steps.contains(second) else {
                    throw place.refusal("\(reference): step \"\(second)\" is not over by then")
                }
            case "experiment":
                guard ["id", "name", "seed"].contains(second) else {
                    throw place.refusal("\(reference): of the experiment there are id, name and seed")
                }
            default: throw place.refusal("\(reference): a path begins with inputs, steps or experiment")
            }
        }
    }
}

// MARK: - Values

extension YAMLPlace {
    /// Of an experiment, a step, a probe or an input.
    func name() throws(YAMLError) -> String {
        guard let text = json.stringValue, Self.isName(text) else {
            throw refusal("a name is 1 to 63 lower-case letters, digits and inner hyphens")
        }
        return text
    }

    static func isName(_ text: String) -> Bool { Experiment.isName(text) }

    func text() throws(YAMLError) -> String {
        guard let text = json.stringValue, !text.isEmpty, text.utf8.count <= 4096 else {
            throw refusal("a text of up to 4096 bytes")
        }
        return text
    }

    func boolean() throws(YAMLError) -> Bool {
        guard let value = json.booleanValue else { throw refusal("true or false") }
        return value
    }

    func integer(in range: ClosedRange<Int64>) throws(YAMLError) -> Int64 {
        guard let value = json.integerValue, range.contains(value) else {
            throw refusal("a whole number, \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func number(in range: ClosedRange<Double>) throws(YAMLError) -> Double {
        guard let value = json.doubleValue, range.contains(value) else {
            throw refusal("a number, \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func method() throws(YAMLError) -> String {
        guard let text = json.stringValue, !text.isEmpty, text.allSatisfy({ $0.isASCII && $0.isUppercase }) else {
            throw refusal("a method in capitals, as POST")
        }
        return text
    }

    func statuses() throws(YAMLError) -> [Int64] {
        let values = (json.arrayValue ?? [json]).compactMap(\.integerValue).filter { (100...599).contains($0) }
        guard !values.isEmpty, values.count == json.arrayValue?.count ?? 1 else {
            throw refusal("a status or several, as 200 or [200, 204]")
        }
        return values
    }

    func template() throws(YAMLError) -> Template {
        do throws(TemplateError) {
            return try Template(json)
        } catch {
            throw refusal("\(error)")
        }
    }

    /// One whose value, where it is known, is a length of time.
    func durationTemplate(_ range: ClosedRange<Duration>) throws(YAMLError) -> Template {
        let template = try template()
        if let fixed = template.fixed {
            guard let duration = fixed.stringValue.flatMap({ Duration(text: $0) }), range.contains(duration) else {
                throw refusal("a length of time with its unit, \(range.lowerBound.text) to \(range.upperBound.text)")
            }
        }
        return template
    }
}

extension YAMLSection {
    mutating func duration(_ name: String, in range: ClosedRange<Duration>) throws(YAMLError) -> Duration? {
        guard let place = take(name) else { return nil }
        guard let duration = place.json.stringValue.flatMap({ Duration(text: $0) }), range.contains(duration) else {
            throw place.refusal("a length of time with its unit, \(range.lowerBound.text) to \(range.upperBound.text)")
        }
        return duration
    }

    func texts() throws(YAMLError) -> [(name: String, value: String)] {
        var texts: [(name: String, value: String)] = []
        for (name, place) in places { texts.append((name, try place.text())) }
        return texts
    }

    /// Each its value, or `{default, description}`.
    fileprivate func sectionOfInputs() throws(YAMLError) -> [Experiment.Input] {
        var inputs: [Experiment.Input] = []
        for (name, place) in places {
            guard YAMLPlace.isName(name.lowercased()) || name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "_" })
            else { throw place.refusal("an input's name is letters, digits, '-' and '_'") }
            if place.isMapping {
                var section = try place.section()
                let standard = section.take("default")?.json
                let description = try section.take("description")?.text()
                try section.refuseUntaken()
                inputs.append(Experiment.Input(name: name, standard: standard, description: description))
            } else {
                inputs.append(Experiment.Input(name: name, standard: place.json, description: nil))
            }
        }
        return inputs
    }
}
