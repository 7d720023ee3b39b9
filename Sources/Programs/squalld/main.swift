import LinuxSystem

// The keeper by default; `squalld engine` is what the keeper starts.
setProgramName("squalld")
let options: AgentOptions
do {
    options = try AgentOptions(Array(CommandLine.arguments.dropFirst()))
} catch {
    exit(code: error.exitCode, saying: error.message)
}
switch options.role {
case .keeper: runKeeper(options)
case .engine: runEngine(options)
}
