//! The ratios as bars, in an SVG that is legible on light and on dark ground.

use std::fmt::Write;

use super::Result;
use super::rows::Measure;

const WIDTH: f64 = 760.0;
const LABELS: f64 = 214.0;
const VALUES: f64 = 118.0;
/// From the middle of a line to where its text stands.
const BASELINE: f64 = 4.5;
const LINE: f64 = 24.0;
const BAR: f64 = 12.0;
const TITLE: f64 = 46.0;

const STYLE: &str = "
text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;fill:#24292f}
.title{font-weight:600}
.quiet{fill:#57606a;font-size:11.5px}
.label{text-anchor:end}
.value{font-variant-numeric:tabular-nums}
.bar{fill:#2f81f7}
.less{fill:#8250df}
.span{stroke:#24292f;stroke-opacity:.55;stroke-width:1.5}
.limit{stroke:#57606a;stroke-width:1.5;stroke-dasharray:3 3}
.grid{stroke:#57606a;stroke-opacity:.18}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.quiet{fill:#9198a1}.less{fill:#a371f7}
.span{stroke:#e6edf3}.limit,.grid{stroke:#9198a1}}
";

/// All of it, as a document.
pub(crate) fn draw(results: &[Result]) -> String {
    let (rates, costs): (Vec<_>, Vec<_>) = results
        .iter()
        .partition(|result| result.row.measure == Measure::Rate);
    let mut body = String::new();
    let mut top = 8.0;
    for (title, quiet, class, group) in [
        (
            "Messages per second, raw tokio = 1",
            "longer is better",
            "bar",
            rates,
        ),
        (
            "Time and memory, raw tokio = 1",
            "shorter is better",
            "less",
            costs,
        ),
    ] {
        if !group.is_empty() {
            top = group_of_bars(&mut body, top, [title, quiet, class], &group);
        }
    }
    let caption = "Bars are medians, lines go from the lowest round to the highest. TLS beside bare TLS; \
                   at the right, absolute figures of this crate.";
    writeln!(
        body,
        "<text class=\"quiet\" x=\"4\" y=\"{:.0}\">{caption}</text>",
        top + 10.0
    )
    .expect("memory");
    let height = top + 20.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>Ratios to raw tokio, measured in the same run</title>\n\
         <style>{STYLE}</style>\n{body}</svg>\n"
    )
}

/// One group below `top`; yields where it ends.
fn group_of_bars(
    out: &mut String,
    top: f64,
    [title, quiet, class]: [&str; 3],
    group: &[&Result],
) -> f64 {
    let longest = group.iter().map(|result| result.ratios[2]);
    let most = longest.fold(1.0, f64::max);
    let scale = (WIDTH - LABELS - VALUES) / most;
    let first = top + TITLE;
    let last = first + LINE * group.len() as f64;
    let mut put = |line: String| {
        out.push_str(&line);
        out.push('\n');
    };
    put(format!(
        "<text class=\"title\" x=\"{LABELS}\" y=\"{:.0}\">{title} \
         <tspan class=\"quiet\" dx=\"8\">{quiet}</tspan></text>",
        top + 18.0
    ));
    for (x, share) in ticks(most).map(|share| (LABELS + share * scale, share)) {
        let class = if share == 1.0 { "limit" } else { "grid" };
        put(format!(
            "<line class=\"{class}\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{:.1}\" y2=\"{last:.1}\"/>\
             <text class=\"quiet\" text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.1}\">{share}</text>",
            first - 2.0,
            first - 6.0
        ));
    }
    for (index, result) in group.iter().enumerate() {
        let middle = first + LINE * (index as f64 + 0.5);
        let [lowest, ratio, highest] = result.ratios;
        let base = middle + BASELINE;
        let mut line = String::new();
        write!(
            line,
            "<text class=\"label\" x=\"{:.0}\" y=\"{base:.1}\">{}</text>\
             <rect class=\"{class}\" x=\"{LABELS}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" rx=\"2\"/>\
             <line class=\"span\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>\
             <text class=\"value\" text-anchor=\"end\" x=\"{:.0}\" y=\"{base:.1}\">{ratio:.2}</text>\
             <text class=\"quiet\" text-anchor=\"end\" x=\"{WIDTH}\" y=\"{base:.1}\">{}</text>",
            LABELS - 10.0,
            result.row.name,
            middle - BAR / 2.0,
            ratio * scale,
            LABELS + lowest * scale,
            LABELS + highest * scale,
            WIDTH - 66.0,
            result.row.measure.show(result.ours),
        )
        .expect("memory");
        put(line);
    }
    last + 14.0
}

/// Where the axis has marks: at steps that leave room for their numbers.
fn ticks(most: f64) -> impl Iterator<Item = f64> {
    let step = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|step| most / step <= 8.0)
        .unwrap_or(20.0);
    (1..)
        .map(move |n| f64::from(n) * step)
        .take_while(move |share| *share <= most.max(1.0))
}
