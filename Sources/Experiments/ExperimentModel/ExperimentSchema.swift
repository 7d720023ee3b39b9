import Authorization
package import ChaosModel
import Faults

extension Experiment {
    /// The JSON Schema (draft 2020-12) of experiments: an editor's help. The reader also refuses names that are there
    /// twice, references to what is not there, and what is out of range.
    package static var schema: JSON {
        [
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Squall experiment",
            "type": "object",
            "additionalProperties": false,
            "required": ["apiVersion", "kind", "metadata", "spec"],
            "properties": [
                "apiVersion": ["const": .string(apiVersion)],
                "kind": ["const": .string(kind)],
                "metadata": object(
                    required: ["name"],
                    [
                        ("name", reference("name")), ("description", text("What it is for.")),
                        ("labels", ["type": "object", "additionalProperties": ["type": "string"]]),
                    ]),
                "spec": object(
                    required: ["steps"],
                    [
                        ("hypothesis", text("What is expected to hold, for people.")),
                        (
                            "inputs",
                            [
                                "type": "object",
                                "description":
                                    "Values that whoever runs it may set: each its value, or {default, description}.",
                            ]
                        ),
                        ("timeout", duration("When it is stopped. 1h unless told.")),
                        (
                            "seed",
                            [
                                "type": "integer", "minimum": 0,
                                "description":
                                    "Chooses targets where a step has no seed of its own; drawn unless told.",
                            ]
                        ),
                        ("probes", ["type": "array", "maxItems": 100, "items": reference("probe")]),
                        ("steps", ["type": "array", "minItems": 1, "items": reference("step")]),
                    ]),
            ],
            "$defs": [
                "name": ["type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"],
                "duration": [
                    "type": "string", "pattern": "^(([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+|\\$\\{\\{.*\\}\\})$",
                ],
                "template": [
                    "type": "string", "description": "May have ${{ inputs.NAME }} or ${{ steps.NAME.output }} in it.",
                ],
                "script": script, "probe": probe, "expect": expectation, "step": step,
            ],
        ]
    }

    private static var words: JSON {
        [
            "type": "array", "minItems": 1, "items": ["type": ["string", "number"]],
            "description": "The program and its arguments: no shell reads them.",
        ]
    }

    private static var script: JSON {
        object(
            required: ["command"],
            [
                ("command", words),
                ("environment", ["type": "object"]),
                (
                    "output",
                    [
                        "enum": .array(Script.Output.allCases.map { .string($0.rawValue) }), "default": "text",
                        "description":
                            "What its standard output is: one text, a JSON document, or lines NAME=VALUE. Later steps refer to it.",
                    ]
                ),
                ("timeout", duration("60s unless told.")),
            ] + place)
    }

    private static var place: [(String, JSON)] {
        [
            ("image", text("Runs it in a pod of this image; a process beside the experiment's unless told.")),
            ("namespace", text("Of the pod; that of the cluster's credentials unless told.")),
            ("serviceAccount", text("Of the pod; none's credentials unless told.")),
            ("imagePullSecrets", ["type": "array", "items": ["type": "string"]]),
            (
                "ssh",
                object(
                    required: ["host", "keyFile"],
                    [
                        ("host", reference("template")),
                        ("port", ["type": "integer", "minimum": 1, "maximum": 65535, "default": 22]),
                        ("user", reference("template")),
                        ("keyFile", text("A private key without a passphrase.")),
                        ("knownHostsFile", text("~/.ssh/known_hosts unless told.")),
                    ])
            ),
        ]
    }

    private static var server: [(String, JSON)] {
        [
            ("url", reference("template")), ("headers", ["type": "object"]),
            ("bearerTokenFile", text("Of what is sent as Authorization: Bearer.")),
            ("insecureSkipVerify", ["type": "boolean", "default": false]),
            ("caFile", text("The certificates that are trusted; the system's unless told.")),
        ]
    }

    private static func request(method: JSON) -> [(String, JSON)] {
        server + [
            ("method", ["type": "string", "default": method]),
            ("body", ["description": "A text, or what is sent as JSON."]),
            (
                "status",
                [
                    "description": "Which are good; 200 to 299 unless told.",
                    "oneOf": [["type": "integer"], ["type": "array", "items": ["type": "integer"]]],
                ]
            ),
        ]
    }

    private static var probe: JSON {
        var schema = object(
            required: ["name"],
            [
                ("name", reference("name")),
                (
                    "http",
                    object(required: ["url"], request(method: "GET"))
                ),
                ("tcp", object(required: ["address"], [("address", text("host:port"))])),
                (
                    "command",
                    object(required: ["command"], [("command", words), ("environment", ["type": "object"])] + place)
                ),
                (
                    "prometheus",
                    object(
                        required: ["url", "query"],
                        [
                            ("query", reference("template"))
                        ] + server)
                ),
                (
                    "kubernetes",
                    object(
                        required: ["resource"],
                        [
                            ("apiVersion", ["type": "string", "default": "v1"]),
                            ("resource", text("In the plural, as deployments.")),
                            ("namespace", reference("template")), ("name", reference("template")),
                            ("labelSelector", reference("template")), ("fieldSelector", reference("template")),
                            ("operation", ["enum": ["present", "absent"], "default": "present"]),
                            (
                                "path",
                                text("Of each, where its value is, as status.readyReplicas; their number unless told.")
                            ),
                        ])
                ),
                ("events", object(required: ["kind"], [("kind", text("A kind of an agent's events."))])),
                ("expect", reference("expect")),
                ("within", duration("The longest that an answer may take.")),
                (
                    "mode",
                    [
                        "enum": .array(Probe.Mode.allCases.map { .string($0.rawValue) }), "default": "Edge",
                        "description":
                            "Before the first step, after the last, both, all the time, or while a fault is in effect.",
                    ]
                ),
                ("weight", ["type": "number", "minimum": 0, "maximum": 1000, "default": 10]),
                ("timeout", duration("Of one attempt; 5s unless told.")),
                ("attempts", ["type": "integer", "minimum": 1, "maximum": 1000, "default": 1]),
                ("interval", duration("Between attempts; 1s unless told.")),
                ("pollingInterval", duration("Between runs; 2s unless told.")),
                ("initialDelay", duration("Before its first run.")),
                ("stopOnFailure", ["type": "boolean", "default": false]),
            ])
        schema = .object((schema.members ?? []) + [exactlyOne(Probe.kinds)])
        return schema
    }

    private static var expectation: JSON {
        object(
            required: ["criteria", "value"],
            [
                ("type", ["enum": .array(Criterion.Kind.allCases.map { .string($0.rawValue) })]),
                (
                    "criteria",
                    [
                        "enum": .array(
                            (Criterion.numberCriteria + Criterion.textCriteria.dropLast()).map(JSON.string))
                    ]
                ),
                ("value", ["description": "What the value is held against; a list for oneOf and between."]),
            ])
    }

    private static var step: JSON {
        let steps: JSON = ["type": "array", "items": reference("step")]
        let schema = object(
            required: ["name"],
            [
                ("name", reference("name")),
                (
                    "onFailure",
                    [
                        "enum": ["stop", "continue"], "default": "stop",
                        "description": "Whether the experiment goes on when this fails.",
                    ]
                ),
                ("fault", ["enum": .array(FaultCatalogue.all.map { .string($0.kind) })]),
                ("parameters", objectOrTemplate("See 'squall fault show'.")),
                (
                    "target",
                    objectOrTemplate(
                        "As the API has it; `pods` are those of all agents together. Or `workload`: {kind, namespace, name or labels, container, count or percent}."
                    )
                ),
                (
                    "agents",
                    [
                        "description": "Which: names with * for any part, or {labels: {NAME: VALUE}}. All unless told.",
                        "type": ["string", "array", "object"],
                    ]
                ),
                ("duration", duration("Of the fault; 30s unless told.")),
                ("lease", duration("How long it outlives this experiment's process; 15s unless told.")),
                ("onRestart", ["enum": .array(RestartPolicy.allCases.map { .string($0.rawValue) }), "default": "end"]),
                ("reason", text("For the agents' records.")),
                (
                    "sequence",
                    [
                        "enum": .array(FaultOrder.Sequence.allCases.map { .string($0.rawValue) }),
                        "default": "parallel",
                        "description": "All targets at once, or each for the whole duration after the other.",
                    ]
                ),
                (
                    "background",
                    [
                        "type": "boolean", "default": false,
                        "description": "Whether the next step begins as soon as the fault is in effect.",
                    ]
                ),
                ("script", reference("script")), ("wait", reference("duration")), ("probe", reference("name")),
                ("end", ["$ref": "#/$defs/name", "description": "The step whose fault is taken back."]),
                (
                    "deletePods",
                    object(
                        required: ["target"],
                        [
                            ("target", objectOrTemplate("A pod, pods or a workload's.")),
                            ("gracePeriod", duration("How long each may take to end; its own unless told.")),
                            ("duration", duration("How long they are deleted again and again; once unless told.")),
                            ("interval", duration("Between deletions; 5s unless told.")),
                        ])
                ),
                (
                    "http",
                    object(
                        required: ["url"],
                        request(method: "POST") + [
                            (
                                "undo",
                                object(required: ["url"], request(method: "POST"))
                            ),
                            ("timeout", duration("Of each attempt; 30s unless told.")),
                        ])
                ),
                ("parallel", steps), ("serial", steps),
            ])
        let ofFaults = [
            "parameters", "target", "agents", "duration", "lease", "onRestart", "reason", "sequence", "background",
        ]
        return .object(
            (schema.members ?? []) + [
                exactlyOne(ExperimentStep.kinds),
                JSON.Member(
                    "dependentRequired",
                    .object(
                        ofFaults.map { JSON.Member($0, ["fault"]) } + [JSON.Member("fault", ["target"])])),
            ])
    }

    private static func exactlyOne(_ names: [String]) -> JSON.Member {
        JSON.Member("oneOf", .array(names.map { ["required": [.string($0)]] }))
    }

    private static func object(required: [JSON], _ properties: [(String, JSON)]) -> JSON {
        [
            "type": "object", "additionalProperties": false, "required": .array(required),
            "properties": .object(properties.map { JSON.Member($0.0, $0.1) }),
        ]
    }

    private static func reference(_ name: String) -> JSON { ["$ref": .string("#/$defs/\(name)")] }

    private static func text(_ description: String) -> JSON {
        ["type": "string", "description": .string(description)]
    }

    /// Also what a template becomes as a whole.
    private static func objectOrTemplate(_ description: String) -> JSON {
        [
            "type": ["object", "string"], "pattern": "^\\$\\{\\{.*\\}\\}$",
            "description": .string(description),
        ]
    }

    private static func duration(_ description: String) -> JSON {
        ["$ref": "#/$defs/duration", "description": .string(description)]
    }
}
