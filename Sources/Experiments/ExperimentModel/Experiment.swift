package import ChaosModel

/// What is done to a system, and what must stay true of it meanwhile. Read from a file, and nothing but values.
package struct Experiment: Sendable {
    package static let apiVersion = "squall/v1"
    package static let kind = "Experiment"

    /// Lower-case letters, digits and inner hyphens, up to 63.
    package let name: String
    package let description: String?
    package let labels: [(name: String, value: String)]
    /// What is expected to hold, for people.
    package let hypothesis: String?
    package let inputs: [Input]
    /// When it is stopped, if it is not over.
    package let timeout: Duration
    /// Chooses targets where a step has none of its own; nil for one that is drawn.
    package let seed: Int64?
    package let probes: [Probe]
    package let steps: [ExperimentStep]

    /// A value that whoever runs the experiment may set.
    package struct Input: Sendable {
        package let name: String
        /// Nil for one that must be given.
        package let standard: JSON?
        package let description: String?
    }

    /// All steps, those within others after them.
    package var allSteps: [ExperimentStep] { steps.flatMap(\.withInner) }
}

/// Something that is done, once the step before it is over.
package struct ExperimentStep: Sendable {
    package static let waits: ClosedRange<Duration> = .zero ... .seconds(86400)

    package enum Action: Sendable {
        case fault(FaultOrder)
        case script(Script)
        case wait(Template)
        /// Runs a probe now; when it fails, so does the step.
        case probe(String)
        /// Takes a fault back that an earlier step has begun in the background.
        case end(String)
        case deletePods(PodDeletion)
        case http(HTTPAction)
        case parallel([ExperimentStep])
        case serial([ExperimentStep])
    }

    package let name: String
    package let action: Action
    /// Whether the experiment goes on when this fails.
    package let isOptional: Bool

    /// This one, and those within it.
    package var withInner: [ExperimentStep] {
        switch action {
        case .parallel(let steps), .serial(let steps): [self] + steps.flatMap(\.withInner)
        case .fault, .script, .wait, .probe, .end, .deletePods, .http: [self]
        }
    }

    package var kind: String {
        switch action {
        case .fault: "fault"
        case .script: "script"
        case .wait: "wait"
        case .probe: "probe"
        case .end: "end"
        case .deletePods: "deletePods"
        case .http: "http"
        case .parallel: "parallel"
        case .serial: "serial"
        }
    }
}

/// A fault, and whom it hits. What may be chosen by earlier steps is a template.
package struct FaultOrder: Sendable {
    package enum Sequence: String, CaseIterable, Sendable {
        /// All targets at once.
        case parallel
        /// One after the other, each for the whole duration.
        case serial
    }

    package let fault: String
    package let parameters: Template
    /// An `ExperimentTarget`; `pods` are those of all agents together.
    package let target: Template
    /// Names of agents, with `*` for any part; nil for all that there are.
    package let agents: Template?
    package let duration: Template
    package let lease: Template?
    package let onRestart: RestartPolicy
    package let reason: Template?
    package let sequence: Sequence
    /// Whether the next step begins as soon as the fault is in effect. The experiment waits for it at its end.
    package let isBackground: Bool
}

/// Pods that the cluster is told to delete, once or again and again. Whoever owns them makes others; nothing is taken back.
package struct PodDeletion: Sendable {
    /// An `ExperimentTarget` of pods.
    package let target: Template
    /// How long each may take to end; nil for its own time.
    package let gracePeriod: Duration?
    /// Zero for once.
    package let duration: Duration
    /// Between deletions.
    package let interval: Duration
}

/// A request that does something, as to a cloud's API, and the one that takes it back.
package struct HTTPAction: Sendable {
    package let request: HTTPCheck
    /// Sent at the experiment's end at the latest, whatever became of the request; nil for what stays.
    package let undo: HTTPCheck?
    /// Of each attempt.
    package let timeout: Duration
}

/// A program of the user's whose output others of the experiment's steps can use.
package struct Script: Sendable {
    package enum Output: String, CaseIterable, Sendable {
        /// One text, without blank space at its ends.
        case text
        /// A JSON document.
        case json
        /// Lines NAME=VALUE.
        case values
    }

    /// The program and its arguments: no shell reads them.
    package let command: Template
    package let environment: Template
    package let output: Output
    package let timeout: Duration
    package let place: Place

    package enum Place: Sendable {
        /// A process beside this one.
        case here
        case pod(Pod)
        case ssh(SSH)
    }

    /// Where a script has an image of its own.
    package struct Pod: Sendable {
        package let image: Template
        /// Nil for that of the credentials.
        package let namespace: String?
        /// Nil for no account's credentials.
        package let serviceAccount: String?
        package let pullSecrets: [String]
    }

    /// A host that one logs in to.
    package struct SSH: Sendable {
        package let host: Template
        package let port: UInt16
        /// Nil for who runs the experiment.
        package let user: Template?
        package let keyFile: String
        /// Nil for `~/.ssh/known_hosts`.
        package let knownHostsFile: String?
    }

    /// Everything in it that refers to what is known later.
    var templates: [Template] {
        let own: [Template] =
            switch place {
            case .here: []
            case .pod(let pod): [pod.image]
            case .ssh(let ssh): [ssh.host] + [ssh.user].compactMap(\.self)
            }
        return [command, environment] + own
    }
}

/// A request, and which answers to it are good.
package struct HTTPCheck: Sendable {
    package let url: Template
    package let method: String
    package let headers: Template
    package let body: Template
    /// Which statuses are good; empty for 200 to 299.
    package let statuses: [Int64]
    /// Whether anybody's certificate is taken.
    package let isInsecure: Bool
    /// The file of certificates that are trusted; nil for the system's.
    package let authorities: String?
    /// The file of what is sent as `Authorization: Bearer`.
    package let bearerTokenFile: String?

    var templates: [Template] { [url, headers, body] }
}

/// Something that is looked at from outside, and what is to be seen there.
package struct Probe: Sendable {
    package enum Kind: Sendable {
        case http(HTTPCheck)
        /// A connection can be made to `host:port`.
        case tcp(Template)
        /// A program's standard output.
        case command(Script)
        /// A query's value, of each sample that it finds.
        case prometheus(HTTPCheck, query: Template)
        /// What there is in the cluster.
        case kubernetes(ResourceCheck)
        /// How many events of this kind this experiment's sessions had.
        case events(kind: String)
    }

    /// Resources of a cluster, and what of them is looked at.
    package struct ResourceCheck: Sendable {
        /// As `v1` or `apps/v1`.
        package let apiVersion: String
        /// In the plural, as `deployments`.
        package let resource: String
        /// Nil for what has none.
        package let namespace: Template?
        package let name: Template?
        /// Selectors as the API has them.
        package let labels: Template
        package let fields: Template
        /// Whether there should be one, or none.
        package let isPresent: Bool
        /// Of each, where its value is, as `status.readyReplicas`; nil for their number.
        package let path: String?
    }

    /// When it is run. The words are Litmus's.
    package enum Mode: String, CaseIterable, Sendable {
        /// Before the first step.
        case startOfTest = "SOT"
        /// After the last step.
        case endOfTest = "EOT"
        /// Both.
        case edge = "Edge"
        /// Again and again, from the first step to the last.
        case continuous = "Continuous"
        /// Again and again while a fault is in effect.
        case onChaos = "OnChaos"
    }

    /// Of `within`.
    package static let limits: ClosedRange<Duration> = .milliseconds(1) ... .seconds(3600)

    package let name: String
    package let kind: Kind
    package let mode: Mode
    /// What is expected of the value; nil where that it could be had is enough.
    package let expectation: Criterion?
    /// The longest that an answer may take.
    package let within: Template?
    package let weight: Double
    /// Of one attempt.
    package let timeout: Duration
    /// How many attempts are made before it has failed.
    package let attempts: Int
    /// Between attempts.
    package let interval: Duration
    /// Between runs, of a mode that has several.
    package let pollingInterval: Duration
    /// Before its first run.
    package let initialDelay: Duration
    /// Whether its failure stops the experiment.
    package let stopsOnFailure: Bool

    /// Everything in it that refers to what is known later.
    var templates: [Template] {
        let own: [Template] =
            switch kind {
            case .http(let check): check.templates
            case .tcp(let address): [address]
            case .command(let script): script.templates
            case .prometheus(let check, let query): check.templates + [query]
            case .kubernetes(let check):
                [check.namespace, check.name, check.labels, check.fields].compactMap(\.self)
            case .events: []
            }
        return own + [expectation?.value, within].compactMap(\.self)
    }

    /// The steps that have to be over before it can be run.
    package var stepsReferredTo: Set<String> {
        Set(
            templates.flatMap(\.references).compactMap { reference in
                guard reference.parts.count > 1, reference.parts[0] == .member("steps"),
                    case .member(let name) = reference.parts[1]
                else { return nil }
                return name
            })
    }

    package var kindWord: String {
        switch kind {
        case .http: "http"
        case .tcp: "tcp"
        case .command: "command"
        case .prometheus: "prometheus"
        case .kubernetes: "kubernetes"
        case .events: "events"
        }
    }
}
