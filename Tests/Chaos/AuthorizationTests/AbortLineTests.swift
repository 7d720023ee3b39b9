import Authorization
import ChaosModel
import LinuxSystem
import Testing

struct AbortLineTests {
    private static let account = """
        some avg10=12.34 avg60=1.00 avg300=0.10 total=1
        full avg10=5.67 avg60=0.50 avg300=0.05 total=2

        """

    @Test func `of CPUs it counts that somebody waits, of memory and of input and output that nobody gets on`() {
        #expect(Pressure.cpu.average(in: Self.account) == 12.34)
        #expect(Pressure.memory.average(in: Self.account) == 5.67)
        #expect(Pressure.io.average(in: Self.account) == 5.67)
        #expect(Pressure.memory.average(in: "some avg10=1.00\n") == nil)
        #expect(Pressure.cpu.average(in: "") == nil)
    }

    private func crossing(_ line: AbortLine, _ averages: [Pressure: Double]) -> String? {
        line.crossing(onFileSystemOf: "/") { (pressure) throws(SystemCallError) in
            guard let average = averages[pressure] else {
                throw SystemCallError("open", on: "/proc/pressure/\(pressure.rawValue)", errno: .noEntry)
            }
            return average
        }
    }

    @Test func `a line is crossed beyond it, and nothing else is looked at`() throws {
        var line = AbortLine()
        #expect(crossing(line, [:]) == nil)
        line.pressures[.memory] = Percentage(20)
        #expect(crossing(line, [.memory: 20]) == nil)
        #expect(crossing(line, [.memory: 20.1]) == "the memory pressure is 20.1 %, more than 20%")
        #expect(crossing(line, [.cpu: 0])?.hasPrefix("how the node fares cannot be told: ") == true)
    }

    @Test func `no disk is free altogether, and none so full as to hold nothing`() throws {
        var line = AbortLine()
        line.freeDisk = .whole
        #expect(crossing(line, [:])?.contains("% of the disk of / are free, less than 100%") == true)
        line.freeDisk = Percentage(0.000001)
        #expect(crossing(line, [:]) == nil)
    }
}
