import ChaosModel

extension RunResult {
    /// One page without anything beside it, for people: what was done when, what was seen meanwhile, and what it came to.
    package var html: String {
        """
        <!doctype html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>\(name.xml): \(verdict.xml)</title>
        <style>
        \(Self.style)
        </style>
        </head>
        <body>
        <main>
        \(header)
        \(cards)
        <section><h2>Timeline</h2>
        \(TimelineChart(self).svg)
        </section>
        \(plots)
        \(probeTable)
        \(stepTable)
        \(sessionTable)
        \(eventTable)
        </main>
        </body>
        </html>

        """
    }

    private var verdictClass: String {
        switch verdict {
        case "Pass": "good"
        case "Fail", "Error": "bad"
        default: "open"
        }
    }

    private var header: String {
        var parts = ["<header><h1>\(name.xml) <span class=\"badge \(verdictClass)\">\(verdict.xml)</span></h1>"]
        if let description = text("experiment", "description") { parts.append("<p>\(description.xml)</p>") }
        if let hypothesis = text("experiment", "hypothesis") {
            parts.append("<blockquote>\(hypothesis.xml)</blockquote>")
        }
        if let reason = text("reason") { parts.append("<p class=\"reason \(verdictClass)\">\(reason.xml)</p>") }
        return parts.joined(separator: "\n") + "</header>"
    }

    private var cards: String {
        let passed = probes.count { $0["verdict"]?.stringValue == "Passed" }
        let verified = sessions.count { $0["revertVerified"]?.booleanValue == true }
        let cards: [(String, String)] = [
            ("resilience score", score.map { "\(Self.number($0)) %" } ?? "–"),
            ("probes passed", "\(passed) of \(probes.count)"),
            ("sessions taken back", "\(verified) of \(sessions.count)"),
            ("duration", Self.time(seconds)),
            ("started", (text("startedAt") ?? "").replacing("T", with: " ").prefix(19) + " UTC"),
            ("seed", document["seed"]?.integerValue.map(String.init) ?? "–"),
        ]
        let items = cards.map { "<div class=\"card\"><b>\($0.1.xml)</b><span>\($0.0)</span></div>" }
        return "<div class=\"cards\">\(items.joined())</div>"
    }

    private var plots: String {
        var figures: [String] = []
        for probe in probes {
            let runs = probe["runs"]?.arrayValue ?? []
            let isNumeric = runs.contains { $0["number"] != nil }
            let key = isNumeric ? "number" : "seconds"
            let points = runs.compactMap { run in
                run[key]?.doubleValue.flatMap { value in
                    run["at"]?.doubleValue.map { Plot.Point(at: $0, value: value, isBad: run["passed"] == false) }
                }
            }
            guard points.count > 2 else { continue }
            let title = "\(probe["name"]?.stringValue ?? "")\(isNumeric ? "" : ": seconds to an answer")"
            figures.append(Plot(title: title, points: points, end: seconds, bands: bands).svg)
        }
        for session in sessions {
            let effects = session["effects"]?.arrayValue ?? []
            let keys = Set(effects.flatMap { $0.members?.map(\.name) ?? [] }).subtracting(["at", "step", "seconds"])
                .sorted()
            for key in keys {
                let points = effects.compactMap { effect in
                    effect[key]?.doubleValue.flatMap { value in
                        effect["at"]?.doubleValue.map { Plot.Point(at: $0, value: value, isBad: false) }
                    }
                }
                guard points.count > 1 else { continue }
                let title = "\(session["fault"]?.stringValue ?? "") on \(Self.target(session)): \(key)"
                figures.append(Plot(title: title, points: points, end: seconds, bands: bands).svg)
            }
        }
        return figures.isEmpty
            ? "" : "<section><h2>Measured</h2><div class=\"plots\">\(figures.joined(separator: "\n"))</div></section>"
    }

    /// When faults were in effect.
    private var bands: [ClosedRange<Double>] {
        sessions.compactMap { session in
            guard let begin = session["begin"]?.doubleValue else { return nil }
            return begin...max(begin, session["end"]?.doubleValue ?? seconds)
        }
    }

    private var probeTable: String {
        table(
            "Probes", ["probe", "kind", "mode", "expected", "runs", "weight", "verdict", "first failure"],
            probes.map { probe in
                let passed = Self.count(probe["passed"])
                return [
                    probe["name"]?.stringValue, probe["kind"]?.stringValue, probe["mode"]?.stringValue,
                    probe["expect"]?.stringValue, "\(passed) of \(passed + Self.count(probe["failed"]))",
                    probe["weight"]?.doubleValue.map(Self.number), probe["verdict"]?.stringValue,
                    probe["message"]?.stringValue,
                ]
            })
    }

    private var stepTable: String {
        table(
            "Steps", ["step", "kind", "state", "from", "to", "said", "output"],
            steps.map { step in
                let indentation = step["parent"] == nil ? "" : "↳ "
                return [
                    indentation + (step["name"]?.stringValue ?? ""), step["kind"]?.stringValue,
                    step["state"]?.stringValue, step["begin"]?.doubleValue.map(Self.time),
                    step["end"]?.doubleValue.map(Self.time), step["message"]?.stringValue,
                    step["output"]?.text.cut(to: 400),
                ]
            })
    }

    private var sessionTable: String {
        table(
            "Sessions", ["fault", "target", "node", "from", "to", "ending", "taken back", "session"],
            sessions.map { session in
                [
                    session["summary"]?.stringValue, Self.target(session), session["agent"]?.stringValue,
                    session["begin"]?.doubleValue.map(Self.time), session["end"]?.doubleValue.map(Self.time),
                    session["ending"]?.stringValue ?? session["state"]?.stringValue,
                    session["revertVerified"]?.booleanValue == true ? "verified" : "not verified",
                    session["id"]?.stringValue,
                ]
            })
    }

    private var eventTable: String {
        let rows = timeline.map { line in
            [
                line["at"]?.doubleValue.map { Self.number($0) + " s" }, line["subject"]?.stringValue,
                line["message"]?.stringValue,
            ]
        }
        if rows.isEmpty { return "" }
        return
            "<details><summary>All that happened: \(rows.count) lines</summary>\(table(nil, ["at", "what", ""], rows))</details>"
    }

    private func table(_ title: String?, _ heads: [String], _ rows: [[String?]]) -> String {
        if rows.isEmpty { return "" }
        // Columns in which nobody says anything are left out.
        let columns = heads.indices.filter { column in rows.contains { !($0[column] ?? "").isEmpty } }
        let head = columns.map { "<th>\(heads[$0].xml)</th>" }.joined()
        let body = rows.map { row in
            "<tr>" + columns.map { "<td class=\"\(Self.cellClass(row[$0]))\">\((row[$0] ?? "").xml)</td>" }.joined()
                + "</tr>"
        }
        let whole =
            "<div class=\"scroll\"><table><thead><tr>\(head)</tr></thead><tbody>\(body.joined(separator: "\n"))</tbody></table></div>"
        return title.map { "<section><h2>\($0)</h2>\(whole)</section>" } ?? whole
    }

    private static func cellClass(_ text: String?) -> String {
        switch text {
        case "Passed", "succeeded", "verified": "good"
        case "Failed", "failed", "not verified": "bad"
        default: ""
        }
    }

    private static let style = """
        :root { --ink: #1c2430; --faint: #5d6b7c; --page: #f6f7f9; --card: #fff; --line: #dde3ea; --good: #14804a; --bad: #c22f3d;
          --open: #9a6b00; --fault: #d9480f; --step: #3b6fd4; --grid: #e8ecf1; }
        @media (prefers-color-scheme: dark) { :root { --ink: #e6ebf2; --faint: #97a3b3; --page: #12161c; --card: #1b2129; --line: #2c3540;
          --good: #4cc38a; --bad: #ff7b86; --open: #e5b454; --fault: #ff8f5a; --step: #7aa5ff; --grid: #252d37; } }
        * { box-sizing: border-box }
        body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
        main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px }
        h1 { font-size: 28px; margin: 0 0 8px; overflow-wrap: anywhere } h2 { font-size: 18px; margin: 0 0 12px }
        blockquote { margin: 8px 0; padding: 4px 14px; border-left: 3px solid var(--step); color: var(--faint) }
        .badge { font-size: 15px; vertical-align: middle; padding: 3px 12px; border-radius: 99px; color: var(--page) }
        .badge.good { background: var(--good) } .badge.bad { background: var(--bad) } .badge.open { background: var(--open) }
        .good { color: var(--good) } .bad { color: var(--bad) } .open { color: var(--open) }
        .badge.good, .badge.bad, .badge.open { color: var(--page) }
        .cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 20px 0 }
        .card, section, details { background: var(--card); border: 1px solid var(--line); border-radius: 10px }
        .card { padding: 12px 16px } .card b { display: block; font-size: 17px; overflow-wrap: anywhere } .card span { color: var(--faint); font-size: 13px }
        section, details { padding: 18px; margin: 16px 0 } summary { cursor: pointer; font-weight: 600 }
        .scroll { overflow-x: auto } table { border-collapse: collapse; width: 100%; font-size: 14px }
        th { text-align: left; color: var(--faint); font-weight: 500 } th, td { padding: 6px 12px 6px 0; border-bottom: 1px solid var(--line);
          vertical-align: top; overflow-wrap: break-word; max-width: 420px }
        svg { width: 100%; height: auto; display: block } svg text { fill: var(--faint); font: 12px system-ui, sans-serif }
        svg .label { fill: var(--ink) }
        .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 20px }
        figure { margin: 0 } figcaption { font-size: 13px; color: var(--faint); overflow-wrap: anywhere }
        @media print { body { background: #fff } section, .card { break-inside: avoid } }
        """
}

/// What was done and seen, each in a lane of its own.
private struct TimelineChart {
    private struct Lane {
        let label: String
        var bars: [(from: Double, to: Double, kind: String, title: String)] = []
        var marks: [(at: Double, isGood: Bool, title: String)] = []
    }

    private let lanes: [Lane]
    private let end: Double

    private static let (left, width, height) = (230.0, 1000.0, 24.0)

    init(_ result: RunResult) {
        end = max(result.seconds, 0.001)
        let end = end
        var lanes: [Lane] = []
        for step in result.steps {
            guard let begin = step["begin"]?.doubleValue else { continue }
            let name = step["name"]?.stringValue ?? ""
            let state = step["state"]?.stringValue ?? ""
            var lane = Lane(label: (step["parent"] == nil ? "" : "  ") + name)
            let kind = state == "failed" ? "bad" : "step"
            lane.bars.append((begin, step["end"]?.doubleValue ?? end, kind, "\(name): \(state)"))
            lanes.append(lane)
            for session in result.sessions where session["step"]?.stringValue == name {
                guard let begin = session["begin"]?.doubleValue else { continue }
                var lane = Lane(label: "    \(RunResult.target(session))")
                lane.bars.append(
                    (begin, session["end"]?.doubleValue ?? end, "fault", session["summary"]?.stringValue ?? ""))
                lanes.append(lane)
            }
        }
        for probe in result.probes {
            var lane = Lane(label: "probe \(probe["name"]?.stringValue ?? "")")
            for run in probe["runs"]?.arrayValue ?? [] {
                guard let at = run["at"]?.doubleValue else { continue }
                let isGood = run["passed"] == true
                lane.marks.append((at, isGood, run["message"]?.stringValue ?? run["value"]?.stringValue ?? "passed"))
            }
            if !lane.marks.isEmpty { lanes.append(lane) }
        }
        self.lanes = lanes
    }

    private func x(_ seconds: Double) -> String {
        RunResult.number(Self.left + min(max(seconds, 0), end) / end * (Self.width - Self.left - 10))
    }

    var svg: String {
        let bottom = Double(lanes.count) * Self.height + 8
        var parts = [
            "<svg viewBox=\"0 0 \(Int(Self.width)) \(Int(bottom + 22))\" role=\"img\" aria-label=\"what was done and seen, over time\">"
        ]
        for tick in Ticks.of(0, end) {
            parts.append(
                "<line x1=\"\(x(tick))\" x2=\"\(x(tick))\" y1=\"0\" y2=\"\(bottom)\" stroke=\"var(--grid)\"/>"
                    + "<text x=\"\(x(tick))\" y=\"\(bottom + 15)\" text-anchor=\"middle\">\(RunResult.number(tick)) s</text>"
            )
        }
        for (index, lane) in lanes.enumerated() {
            let y = Double(index) * Self.height
            let indentation = lane.label.prefix { $0 == " " }.count * 6
            parts.append(
                "<text class=\"label\" x=\"\(indentation)\" y=\"\(y + 16)\">\(lane.label.drop { $0 == " " }.prefixed(to: 34).xml)</text>"
            )
            for bar in lane.bars {
                let from = Double(x(bar.from)) ?? 0
                let width = max(2, (Double(x(bar.to)) ?? 0) - from)
                parts.append(
                    "<rect x=\"\(from)\" y=\"\(y + 5)\" width=\"\(RunResult.number(width))\" height=\"14\" rx=\"3\" "
                        + "fill=\"var(--\(bar.kind))\"><title>\(bar.title.xml)</title></rect>")
            }
            for mark in lane.marks {
                parts.append(
                    "<circle cx=\"\(x(mark.at))\" cy=\"\(y + 12)\" r=\"4\" fill=\"var(--\(mark.isGood ? "good" : "bad"))\">"
                        + "<title>\(mark.title.xml)</title></circle>")
            }
        }
        return parts.joined(separator: "\n") + "</svg>"
    }
}

/// One value over time.
private struct Plot {
    struct Point {
        let at: Double
        let value: Double
        let isBad: Bool
    }

    let title: String
    let points: [Point]
    let end: Double
    let bands: [ClosedRange<Double>]

    private static let (left, width, top, bottom) = (58.0, 480.0, 8.0, 150.0)

    private func x(_ seconds: Double) -> Double {
        Self.left + min(max(seconds, 0), end) / max(end, 0.001) * (Self.width - Self.left - 8)
    }

    var svg: String {
        let highest = points.map(\.value).max() ?? 0
        let lowest = min(0, points.map(\.value).min() ?? 0)
        let span = highest - lowest > 0 ? highest - lowest : 1
        func y(_ value: Double) -> Double { Self.bottom - (value - lowest) / span * (Self.bottom - Self.top) }
        var parts = ["<figure><svg viewBox=\"0 0 \(Int(Self.width)) 172\" role=\"img\" aria-label=\"\(title.xml)\">"]
        for band in bands {
            parts.append(
                "<rect x=\"\(RunResult.number(x(band.lowerBound)))\" y=\"\(Self.top)\" "
                    + "width=\"\(RunResult.number(max(1, x(band.upperBound) - x(band.lowerBound))))\" "
                    + "height=\"\(Self.bottom - Self.top)\" fill=\"var(--fault)\" opacity=\"0.07\"/>")
        }
        for tick in Ticks.of(lowest, lowest + span, atMost: 4) {
            parts.append(
                "<line x1=\"\(Self.left)\" x2=\"\(Self.width - 8)\" y1=\"\(RunResult.number(y(tick)))\" "
                    + "y2=\"\(RunResult.number(y(tick)))\" stroke=\"var(--grid)\"/>"
                    + "<text x=\"\(Self.left - 6)\" y=\"\(RunResult.number(y(tick) + 4))\" text-anchor=\"end\">"
                    + "\(Self.short(tick))</text>")
        }
        for tick in Ticks.of(0, end, atMost: 5) {
            parts.append(
                "<text x=\"\(RunResult.number(x(tick)))\" y=\"167\" text-anchor=\"middle\">\(RunResult.number(tick)) s</text>"
            )
        }
        let line = points.map { "\(RunResult.number(x($0.at))),\(RunResult.number(y($0.value)))" }.joined(
            separator: " ")
        parts.append("<polyline points=\"\(line)\" fill=\"none\" stroke=\"var(--step)\" stroke-width=\"1.5\"/>")
        for point in points where point.isBad || points.count < 60 {
            parts.append(
                "<circle cx=\"\(RunResult.number(x(point.at)))\" cy=\"\(RunResult.number(y(point.value)))\" r=\"3\" "
                    + "fill=\"var(--\(point.isBad ? "bad" : "step"))\"><title>\(RunResult.number(point.value))</title></circle>"
            )
        }
        return parts.joined(separator: "\n") + "</svg><figcaption>\(title.xml)</figcaption></figure>"
    }

    private static func short(_ value: Double) -> String {
        for (unit, size) in [("G", 1e9), ("M", 1e6), ("k", 1e3)] where abs(value) >= size {
            return RunResult.number(value / size) + unit
        }
        return RunResult.number(value)
    }
}

/// Round numbers between two others.
private enum Ticks {
    static func of(_ lowest: Double, _ highest: Double, atMost most: Int = 10) -> [Double] {
        // Beyond what is counted exactly there is nothing round to be found.
        guard highest > lowest, max(abs(highest), abs(lowest)) < 1e15, highest - lowest > 1e-9 else { return [lowest] }
        var step = 1e-6
        while (highest - lowest) / step > Double(most) {
            for factor in [2.0, 2.5, 2.0] where (highest - lowest) / step > Double(most) { step *= factor }
        }
        var ticks: [Double] = []
        var tick = (lowest / step).rounded(.up)
        while tick * step <= highest + step / 1000, ticks.count < 2 * most {
            ticks.append(tick * step)
            tick += 1
        }
        return ticks
    }
}

extension Substring {
    fileprivate func prefixed(to count: Int) -> String {
        self.count > count ? String(prefix(count - 1)) + "…" : String(self)
    }
}
