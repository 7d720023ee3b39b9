import ChaosModel

extension RunResult {
    /// What a workflow engine hands on to its later steps, a file each: `verdict`, `score` where there is one, and
    /// `steps.NAME` for each step whose script said something, a text as it is and anything else as JSON.
    package var outputs: [(name: String, text: String)] {
        [("verdict", verdict)] + (score.map { [("score", Self.number($0))] } ?? [])
            + steps.compactMap { step in
                guard step["kind"]?.stringValue == "script", let name = step["name"]?.stringValue,
                    let output = step["output"]
                else { return nil }
                return ("steps.\(name)", output.stringValue ?? output.text)
            }
    }
}
