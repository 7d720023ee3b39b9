import ChaosModel
import ExperimentModel

extension Template {
    /// - Parameter name: What it is, for who reads why it failed.
    /// - Throws: When it is no length of time, or none of the range.
    func duration(in context: JSON, _ range: ClosedRange<Duration>, _ name: String) throws -> Duration {
        let value = try value(in: context)
        guard let duration = value.stringValue.flatMap({ Duration(text: $0) }), range.contains(duration) else {
            let expected = "\(range.lowerBound.text) to \(range.upperBound.text)"
            throw StepFailure("its \(name) is \(value.text.cut(to: 64)), and no length of time of \(expected)")
        }
        return duration
    }
}
