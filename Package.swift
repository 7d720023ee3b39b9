// swift-tools-version: 6.2
import PackageDescription

/// A folder under Sources. A target imports only targets of its own layer or of layers below,
/// and only those that its row names.
enum Layer: String {
    case kernel = "Kernel"
    case chaos = "Chaos"
    case agent = "Agent"
    case experiments = "Experiments"
    case programs = "Programs"
}

let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .treatAllWarnings(as: .error),
]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioHTTP2: Target.Dependency = .product(name: "NIOHTTP2", package: "swift-nio-http2")
let nioHPACK: Target.Dependency = .product(name: "NIOHPACK", package: "swift-nio-http2")
let protobuf: Target.Dependency = .product(name: "SwiftProtobuf", package: "swift-protobuf")

func module(
    _ name: String, in layer: Layer, imports dependencies: [Target.Dependency] = [], excluding: [String] = []
) -> Target {
    .target(
        name: name, dependencies: dependencies, path: "Sources/\(layer.rawValue)/\(name)", exclude: excluding,
        swiftSettings: strict)
}

/// Static, so that it runs in an empty container image and on any Linux. The libraries are those that Foundation's
/// static library needs, which its modules do not name when they are compiled for the shared one, as for the tests.
let isStatic: [LinkerSetting] = [
    .unsafeFlags(["-static-executable"]), .linkedLibrary("FoundationEssentials"), .linkedLibrary("_FoundationCShims"),
    .linkedLibrary("_FoundationCollections"), .linkedLibrary("_FoundationICU"), .linkedLibrary("swiftSynchronization"),
    // What libssh2 needs, which only its shared library says itself.
    .linkedLibrary("z"),
]

func program(_ name: String, imports dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: dependencies, path: "Sources/Programs/\(name)",
        swiftSettings: strict, linkerSettings: isStatic)
}

func systemLibrary(_ name: String, pkgConfig: String, apt packages: [String]) -> Target {
    .systemLibrary(
        name: name, path: "Sources/Kernel/SystemLibraries/\(name)", pkgConfig: pkgConfig,
        providers: [.apt(packages)])
}

func tests(of name: String, in layer: Layer, imports dependencies: [Target.Dependency]) -> Target {
    .testTarget(
        name: "\(name)Tests", dependencies: dependencies, path: "Tests/\(layer.rawValue)/\(name)Tests",
        swiftSettings: strict)
}

/// What scripts/fuzz builds, with coverage in every module; nobody else can, as it looks into modules that are not built for that.
let isFuzzing = Context.environment["SQUALL_FUZZING"] != nil
let fuzzTargets: [Target] = [
    .target(
        name: "FuzzTargets",
        dependencies: [
            "AgentAPI", "Authorization", "CRI", "ChaosModel", "ContainerRuntimes", "Faults", "Journal", "LinuxSystem",
            "NameResolution", "Netlink", "Signatures", nioCore, nioHPACK, protobuf,
        ], path: "Tests/Fuzz", sources: ["FuzzTargets.swift"], swiftSettings: strict)
]

let package = Package(
    name: "squall",
    products: [
        .executable(name: "squalld", targets: ["squalld"]),
        .executable(name: "squall-gateway", targets: ["squall-gateway"]),
        .executable(name: "squall-runtimes", targets: ["squall-runtimes"]),
        .executable(name: "squall-worker", targets: ["squall-worker"]),
        .executable(name: "squall-deadman", targets: ["squall-deadman"]),
        .executable(name: "squall", targets: ["squall"]),
    ] + (isFuzzing ? [.library(name: "FuzzTargets", type: .static, targets: ["FuzzTargets"])] : []),
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2"),
        .package(url: "https://github.com/apple/swift-nio", exact: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-http2", exact: "1.46.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl", exact: "2.37.6"),
        .package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0", traits: []),
    ],
    targets: [
        // Kernel: Linux, said in Swift. No Foundation, no NIO, no chaos.
        systemLibrary("CNetlink", pkgConfig: "libnl-route-3.0", apt: ["libnl-route-3-dev"]),
        systemLibrary("CLibcap", pkgConfig: "libcap", apt: ["libcap-dev"]),
        systemLibrary("CLibseccomp", pkgConfig: "libseccomp", apt: ["libseccomp-dev"]),
        systemLibrary("CLibyaml", pkgConfig: "yaml-0.1", apt: ["libyaml-dev"]),
        systemLibrary("CLibcrypto", pkgConfig: "libcrypto", apt: ["libssl-dev"]),
        systemLibrary("CLibssl", pkgConfig: "openssl", apt: ["libssl-dev"]),
        systemLibrary("CLibssh2", pkgConfig: "libssh2", apt: ["libssh2-1-dev"]),
        .target(
            name: "CLinux", path: "Sources/Kernel/CLinux",
            cSettings: [.define("_GNU_SOURCE"), .unsafeFlags(["-Wall", "-Wextra", "-Werror"])]),
        module("LinuxSystem", in: .kernel, imports: ["CLinux"]),
        module("Netlink", in: .kernel, imports: ["CNetlink", "CLinux", "LinuxSystem"]),
        module("Cgroups", in: .kernel, imports: ["CLinux", "LinuxSystem"]),
        module("Namespaces", in: .kernel, imports: ["CLinux", "LinuxSystem"]),
        module("Filesystems", in: .kernel, imports: ["CLinux", "LinuxSystem"]),
        module("NameResolution", in: .kernel, imports: ["LinuxSystem"]),
        module("Systemd", in: .kernel, imports: ["LinuxSystem"]),
        module("WorkerProtocol", in: .kernel, imports: ["LinuxSystem"]),
        module("WorkerFilter", in: .kernel, imports: ["CLinux", "LinuxSystem", "WorkerProtocol"]),
        module(
            "Processes", in: .kernel, imports: ["CLinux", "LinuxSystem", "Namespaces", "Cgroups", "WorkerProtocol"]),
        module("DeadMan", in: .kernel, imports: ["CLinux", "LinuxSystem", "Namespaces", "Cgroups", "Processes"]),
        module("Hardening", in: .kernel, imports: ["CLibcap", "CLibseccomp", "LinuxSystem"]),

        // Chaos: what we do to targets, and back. No transport.
        module("ChaosModel", in: .chaos, imports: ["LinuxSystem"]),
        module("Signatures", in: .chaos, imports: ["CLibcrypto", "ChaosModel"]),
        module("Targets", in: .chaos, imports: ["ChaosModel", "LinuxSystem", "Cgroups", "Namespaces"]),
        module(
            "Steps", in: .chaos,
            imports: [
                "ChaosModel", "Targets", "LinuxSystem", "Netlink", "Cgroups", "Filesystems", "Namespaces",
                "NameResolution", "Processes", "Systemd", "WorkerProtocol", "DeadMan",
            ]),
        module(
            "Faults", in: .chaos,
            imports: ["ChaosModel", "Targets", "Steps", "Cgroups", "WorkerProtocol", "LinuxSystem"]),
        module("YAML", in: .chaos, imports: ["CLibyaml", "ChaosModel"]),
        module("Authorization", in: .chaos, imports: ["ChaosModel", "Signatures", "YAML", "LinuxSystem"]),
        module("Audit", in: .chaos, imports: ["ChaosModel", "Signatures", "LinuxSystem"]),
        module("Journal", in: .chaos, imports: ["ChaosModel", "Authorization", "Steps", "LinuxSystem"]),
        module(
            "Sessions", in: .chaos,
            imports: [
                "ChaosModel", "Targets", "Steps", "Faults", "Authorization", "Journal", "Audit", "LinuxSystem",
                "Cgroups",
            ]),

        // Agent: how the world reaches us.
        module("AgentAPI", in: .agent, imports: ["ChaosModel", "LinuxSystem"]),
        module(
            "Gateway", in: .agent,
            imports: ["AgentAPI", "ChaosModel", "LinuxSystem", nioCore, nioPosix, nioHTTP1, nioSSL, nioTLS]),
        module("HTTPClient", in: .agent, imports: ["CLibssl", "NameResolution", "LinuxSystem"]),
        module(
            "AgentClient", in: .agent, imports: ["HTTPClient", "AgentAPI", "ChaosModel", "Signatures", "LinuxSystem"]),
        module("ContainerRuntimes", in: .agent, imports: ["AgentAPI", "ChaosModel", "LinuxSystem"]),
        module(
            "CRI", in: .agent,
            imports: [
                "ContainerRuntimes", "AgentAPI", "ChaosModel", "LinuxSystem", nioCore, nioPosix, nioHTTP1, nioHTTP2,
                nioHPACK, protobuf,
            ], excluding: ["Protos/runtime.proto"]),
        module(
            "Engine", in: .agent,
            imports: [
                "AgentAPI", "ChaosModel", "Signatures", "Authorization", "Audit", "ContainerRuntimes", "Sessions",
                "Faults", "Steps",
                "Targets", "Journal", "Hardening", "LinuxSystem", "Netlink", "Cgroups", "Filesystems", "Namespaces",
                "Processes", "DeadMan",
            ]),
        module("Keeper", in: .agent, imports: ["LinuxSystem", "Namespaces", "Processes"]),

        // Experiments: what runs where the agents' clients are.
        module(
            "KubernetesClient", in: .experiments,
            imports: ["HTTPClient", "ChaosModel", "CLinux", "Signatures", "YAML", "LinuxSystem"]),
        module("SSHClient", in: .experiments, imports: ["CLibssh2", "HTTPClient", "LinuxSystem"]),
        module(
            "ExperimentModel", in: .experiments,
            imports: ["KubernetesClient", "ChaosModel", "Authorization", "Faults", "YAML"]),
        module(
            "ExperimentRunner", in: .experiments,
            imports: [
                "ExperimentModel", "KubernetesClient", "SSHClient", "AgentAPI", "AgentClient", "HTTPClient",
                "Authorization", "ChaosModel", "CLinux", "LinuxSystem",
            ]),
        module(
            "Litmus", in: .experiments,
            imports: [
                "ExperimentRunner", "ExperimentModel", "KubernetesClient", "ChaosModel", "YAML", "LinuxSystem",
            ]),
        module("ExperimentHub", in: .experiments, imports: ["ExperimentModel", "ChaosModel", "YAML", "LinuxSystem"]),
        module("ExperimentReports", in: .experiments, imports: ["ChaosModel"]),

        // Programs: main, arguments, exit codes.
        program(
            "squalld",
            imports: [
                "Keeper", "Engine", "ContainerRuntimes", "Sessions", "Steps", "Faults", "Authorization", "Audit",
                "AgentAPI", "ChaosModel", "Journal", "Hardening", "Namespaces", "LinuxSystem",
            ]),
        program("squall-gateway", imports: ["Gateway", "Hardening", "LinuxSystem"]),
        program("squall-runtimes", imports: ["CRI", "ContainerRuntimes", "Hardening", "LinuxSystem"]),
        program(
            "squall-worker",
            imports: ["WorkerProtocol", "NameResolution", "WorkerFilter", "Filesystems", "LinuxSystem"]),
        // Without a C library or Swift's, so that it is a few kilobytes of nothing but system calls.
        .executableTarget(
            name: "squall-deadman", path: "Sources/Programs/squall-deadman",
            cSettings: [
                .headerSearchPath("../../Kernel/CLinux/include"),
                .unsafeFlags([
                    "-Wall", "-Wextra", "-Werror", "-Os", "-ffreestanding", "-fno-stack-protector", "-fno-pic",
                    "-fno-strict-aliasing", "-fno-asynchronous-unwind-tables",
                    // On arm64 an atomic access would be a call of the compiler's runtime; elsewhere there is no such option.
                    "-mno-outline-atomics", "-Wno-option-ignored",
                ]),
            ],
            linkerSettings: [
                .unsafeFlags([
                    "-static-executable", "-nostartfiles", "-Xclang-linker", "-nostdlib", "-Xlinker", "--gc-sections",
                ])
            ]),
        program(
            "squall",
            imports: [
                "ExperimentModel", "ExperimentRunner", "ExperimentReports", "ExperimentHub", "Litmus",
                "KubernetesClient", "AgentClient",
                "AgentAPI", "HTTPClient",
                "ChaosModel", "Authorization", "Audit", "Faults", "Journal", "Signatures", "Steps", "YAML",
                "LinuxSystem", argumentParser,
            ]),

        // Tests mirror the sources. Contract tests against a running agent are Python's: Tests/EndToEnd.
        .target(
            name: "TestKit", dependencies: ["LinuxSystem", "Processes"], path: "Tests/TestKit", swiftSettings: strict),
        tests(of: "Namespaces", in: .kernel, imports: ["Namespaces", "CLinux", "LinuxSystem"]),
        tests(of: "Netlink", in: .kernel, imports: ["Netlink", "Namespaces", "LinuxSystem"]),
        tests(of: "Systemd", in: .kernel, imports: ["Systemd"]),
        tests(of: "Cgroups", in: .kernel, imports: ["Cgroups", "LinuxSystem", "TestKit"]),
        tests(of: "NameResolution", in: .kernel, imports: ["NameResolution"]),
        tests(of: "Hardening", in: .kernel, imports: ["Hardening", "LinuxSystem", "Netlink"]),
        tests(
            of: "Processes", in: .kernel, imports: ["Processes", "Cgroups", "Namespaces", "LinuxSystem", "TestKit"]),
        tests(
            of: "Worker", in: .kernel,
            imports: [
                "WorkerProtocol", "WorkerFilter", "Processes", "Cgroups", "Filesystems", "Namespaces", "Netlink",
                "Hardening", "LinuxSystem", "TestKit",
            ]),
        tests(of: "ChaosModel", in: .chaos, imports: ["ChaosModel"]),
        tests(of: "Signatures", in: .chaos, imports: ["Signatures", "ChaosModel"]),
        tests(of: "YAML", in: .chaos, imports: ["YAML", "ChaosModel"]),
        tests(
            of: "Authorization", in: .chaos,
            imports: ["Authorization", "Signatures", "Faults", "YAML", "ChaosModel", "LinuxSystem"]),
        tests(
            of: "DeadMan", in: .kernel,
            imports: [
                "DeadMan", "Processes", "Cgroups", "Netlink", "Namespaces", "LinuxSystem", "TestKit",
            ]),
        tests(
            of: "Steps", in: .chaos,
            imports: [
                "Steps", "Targets", "Cgroups", "Netlink", "Namespaces", "ChaosModel", "LinuxSystem", "TestKit",
            ]),
        tests(of: "Faults", in: .chaos, imports: ["Faults", "Steps", "ChaosModel", "WorkerProtocol", "LinuxSystem"]),
        tests(
            of: "Journal", in: .chaos,
            imports: [
                "Journal", "Authorization", "Steps", "Cgroups", "ChaosModel", "DeadMan", "LinuxSystem",
                "WorkerProtocol",
                "TestKit",
            ]),
        tests(of: "Audit", in: .chaos, imports: ["Audit", "ChaosModel", "Signatures", "LinuxSystem"]),
        tests(of: "Sessions", in: .chaos, imports: ["Sessions", "ChaosModel"]),
        tests(of: "AgentAPI", in: .agent, imports: ["AgentAPI", "ChaosModel"]),
        tests(of: "HTTPClient", in: .agent, imports: ["HTTPClient"]),
        tests(of: "ExperimentModel", in: .experiments, imports: ["ExperimentModel", "ChaosModel"]),
        tests(of: "Litmus", in: .experiments, imports: ["Litmus", "ExperimentModel", "ChaosModel"]),
        tests(
            of: "AgentClient", in: .agent,
            imports: ["AgentClient", "AgentAPI", "Authorization", "ChaosModel", "Signatures", "LinuxSystem"]),
        tests(
            of: "ContainerRuntimes", in: .agent,
            imports: ["ContainerRuntimes", "AgentAPI", "ChaosModel", "LinuxSystem"]),
        tests(
            of: "CRI", in: .agent,
            imports: [
                "CRI", "ContainerRuntimes", "AgentAPI", "ChaosModel", "LinuxSystem", nioCore, nioPosix, nioHTTP1,
                nioHTTP2, nioHPACK, protobuf,
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ]),
        tests(of: "Gateway", in: .agent, imports: ["Gateway", "AgentAPI", "ChaosModel", "LinuxSystem"]),
        .executableTarget(
            name: "Microbenchmarks",
            dependencies: [
                "AgentAPI", "Authorization", "ChaosModel", "Journal", "LinuxSystem", "Namespaces", "Netlink",
                "Signatures", "Steps",
            ], path: "Tests/Benchmarks", sources: ["Microbenchmarks.swift"], swiftSettings: strict,
            linkerSettings: isStatic),
    ] + (isFuzzing ? fuzzTargets : [])
)
