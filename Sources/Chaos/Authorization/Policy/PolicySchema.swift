package import ChaosModel

extension Policy {
    /// The policy's JSON Schema (draft 2020-12): an editor's help. The reader also refuses patterns that match no fault,
    /// and lengths of time, bytes and rates that are out of range.
    package static func schema(faults: FaultParameters) -> JSON {
        .object([
            ("$schema", "https://json-schema.org/draft/2020-12/schema"),
            ("title", "Squall policy"),
            ("description", "Which tenant may do what on this node. Nothing is allowed that is not said."),
            ("type", "object"),
            ("additionalProperties", false),
            ("required", ["version", "tenants"]),
            (
                "properties",
                [
                    "version": ["const": .integer(version)],
                    "guardrails": guardrailsSchema,
                    "tenants": [
                        "type": "object",
                        "description": "By the tenant's name, which is also the name of its file of keys.",
                        "propertyNames": ["pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"],
                        "additionalProperties": grantSchema(faults),
                    ],
                ]
            ),
            ("$defs", definitions(faults)),
        ])
    }

    private static var guardrailsSchema: JSON {
        [
            "type": "object",
            "description": "What no tenant's grant can lift.",
            "additionalProperties": false,
            "properties": [
                "protectedNamespaces": names(
                    "Pods in these are never hit; the agent's own, where it is told, is always one of them.",
                    ["kube-system"]),
                "protectedUnits": units(
                    "Units of systemd that are never hit; the agent's own is always one of them.",
                    .array(Guardrails.standardProtectedUnits.map(JSON.string))),
                "optIn": [
                    "enum": ["required", "none"], "default": "required",
                    "description": .string(
                        "Whether a pod is hit only when it has the annotation \(Guardrails.optInAnnotation.name): "
                            + Guardrails.optInAnnotation.value + "."),
                ],
                "hostNetwork": permission("Whether pods on the node's own network may be hit."),
                "host": hostAccess(
                    "Whether units, containers, processes and cgroups that are no pod's may be hit; or all of the node at once, too."
                ),
                "power": permission("Whether anybody may restart the host, or switch it off."),
                "duration": duration("The longest that a session may last."),
                "sessions": count("Sessions at once, of all tenants."),
                "abort": [
                    "type": "object",
                    "description": "Beyond any of these every session is taken back, and none begins.",
                    "additionalProperties": false,
                    "properties": [
                        "cpuPressure": percentage(
                            "The most time of the last ten seconds in which something waited for a CPU."),
                        "memoryPressure": percentage(
                            "The most time of the last ten seconds in which nobody got on for want of memory."),
                        "ioPressure": percentage(
                            "The most time of the last ten seconds in which nobody got on for input or output."),
                        "freeDisk": percentage("The least that is free of the file system of the agent's state."),
                    ],
                ],
            ],
        ]
    }

    private static func grantSchema(_ faults: FaultParameters) -> JSON {
        [
            "type": "object",
            "additionalProperties": false,
            "required": ["faults"],
            "properties": [
                "namespaces": names("The tenant's pods are in these.", []),
                "tlsIdentities": [
                    "type": "array", "maxItems": 1000, "default": [],
                    "items": [
                        "type": "string", "pattern": "^([!-9;-~][!-~]{0,2046}:[!-~]{0,2046}|[A-Za-z0-9.-]{1,253})$",
                        "examples": ["spiffe://cluster.local/ns/shop/sa/chaos", "chaos.shop.example"],
                    ],
                    "description":
                        "URIs and DNS names of certificates that may carry its tokens over TLS; no other tenant has them.",
                ],
                "faults": names("The faults that it may use.", nil),
                "units": units(
                    "The tenant's units of systemd, as nginx.service; the guardrails have to allow the host.", []),
                "containerNames": names(
                    [
                        "type": "string", "pattern": "^(?!(.*\\*){5})[A-Za-z0-9_.*-]{1,128}$",
                        "examples": ["shop-db", "shop-*"],
                    ],
                    "Names of the tenant's containers that are no pod's, which Docker or Podman runs; the guardrails have to allow the host.",
                    []),
                "host": hostAccess(
                    "Whether it may name any unit, any container that is no pod's, and processes and cgroups; or the whole host, too. The guardrails have to allow it, as well."
                ),
                "duration": duration("The longest that its sessions may last."),
                "sessions": count("Its sessions at once."),
                "sessionsPerTarget": count("Its sessions at once on one container, or on one cgroup that is no pod's."),
                "requestsPerSecond": count(
                    "Its requests in a second, ten times as many at once; 100 unless told. To end a session is none."),
                "containers": percentage(
                    "The share of the containers that run on the node that it may hit at once; one it may always hit."),
                "intensity": [
                    "type": "object",
                    "description": .string(
                        "By fault and parameter: the most that it may ask for, or {min, max}, or a list of words or networks."
                    ),
                    "additionalProperties": false,
                    "properties": .object(
                        faults.sorted { $0.key < $1.key }.map { JSON.Member($0.key, intensitySchema($0.value)) }),
                ],
            ],
        ]
    }

    private static func intensitySchema(_ parameters: [Parameter]) -> JSON {
        [
            "type": "object",
            "additionalProperties": false,
            "properties": .object(
                parameters.filter(\.canBeBounded).map { parameter in
                    switch parameter.kind {
                    case .duration, .offset: JSON.Member(parameter.name, ["$ref": "#/$defs/duration"])
                    case .bytes: JSON.Member(parameter.name, ["$ref": "#/$defs/bytes"])
                    case .rate: JSON.Member(parameter.name, ["$ref": "#/$defs/rate"])
                    case .endpoint:
                        JSON.Member(
                            parameter.name,
                            [
                                "type": "array", "minItems": 1,
                                "items": ["type": "string", "pattern": "^[0-9a-fA-F.:]+(/[0-9]+)?$"],
                            ])
                    case .choice:
                        JSON.Member(
                            parameter.name, ["type": "array", "minItems": 1, "items": valueSchema(of: parameter)])
                    default: JSON.Member(parameter.name, bounds(valueSchema(of: parameter)))
                    }
                }),
        ]
    }

    /// For each kind whose ranges a pattern cannot say.
    private static func definitions(_ faults: FaultParameters) -> JSON {
        let all = faults.values.joined()
        let examples = [
            ("duration", all.first { if case .duration = $0.kind { true } else { false } }),
            ("bytes", all.first { if case .bytes = $0.kind { true } else { false } }),
            ("rate", all.first { if case .rate = $0.kind { true } else { false } }),
        ]
        return .object(examples.map { name, parameter in (name, parameter.map { bounds(valueSchema(of: $0)) }) })
    }

    private static func bounds(_ value: JSON) -> JSON {
        [
            "oneOf": [
                value,
                [
                    "type": "object", "minProperties": 1, "additionalProperties": false,
                    "properties": ["min": value, "max": value],
                ],
            ]
        ]
    }

    private static func valueSchema(of parameter: Parameter) -> JSON {
        .object((parameter.schema.members ?? []).filter { !["default", "description"].contains($0.name) })
    }

    private static func names(_ description: String, _ standard: JSON?) -> JSON {
        names(
            ["type": "string", "pattern": "^(?!(.*\\*){5})[a-z0-9.*-]{1,253}$", "examples": ["shop", "shop-*"]],
            description, standard)
    }

    private static func units(_ description: String, _ standard: JSON?) -> JSON {
        names(
            [
                "type": "string", "pattern": "^(?!(.*\\*){5})[A-Za-z0-9:_.@\\\\*-]{1,255}$",
                "examples": ["nginx.service", "shop-*"],
            ],
            description, standard)
    }

    private static func names(_ items: JSON, _ description: String, _ standard: JSON?) -> JSON {
        .object([
            ("type", "array"), ("maxItems", 1000), ("items", items), ("default", standard),
            ("description", .string(description)),
        ])
    }

    private static func permission(_ description: String) -> JSON {
        ["enum": ["allowed", "refused"], "default": "refused", "description": .string(description)]
    }

    private static func hostAccess(_ description: String) -> JSON {
        [
            "enum": .array(HostAccess.allCases.map { .string($0.word) }), "default": .string(HostAccess.none.word),
            "description": .string(description),
        ]
    }

    private static func duration(_ description: String) -> JSON {
        let range = InjectionRequest.durations
        return [
            "type": "string", "pattern": "^([0-9]+(\\.[0-9]+)?(ns|us|ms|s|m|h))+$",
            "description": .string("\(description) \(range.lowerBound.text) to \(range.upperBound.text)."),
        ]
    }

    private static func percentage(_ description: String) -> JSON {
        ["type": "number", "exclusiveMinimum": 0, "maximum": 100, "description": .string("\(description) In percent.")]
    }

    private static func count(_ description: String) -> JSON {
        ["type": "integer", "minimum": 0, "maximum": 1_000_000, "description": .string(description)]
    }
}
