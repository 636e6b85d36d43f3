//! Curves as SVG, for a page.

use std::fmt::Write;
use std::time::Duration;

use super::storm::STEP;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
/// Room for the scales: left, and below.
const LEFT: f64 = 64.0;
const BELOW: f64 = 36.0;
const ABOVE: f64 = 34.0;

/// Readable on white and on black.
const COLOURS: [&str; 3] = ["#d9480f", "#1971c2", "#2f9e44"];

/// A plot of values by time.
pub(super) struct Plot {
    title: &'static str,
    curves: Vec<(&'static str, Vec<u64>)>,
    until: Duration,
}

impl Plot {
    /// An empty plot from zero to this time.
    pub(super) fn new(title: &'static str, until: Duration) -> Self {
        let curves = Vec::new();
        Self {
            title,
            curves,
            until,
        }
    }

    /// One more curve: a value for each step.
    pub(super) fn curve(mut self, name: &'static str, values: &[u64]) -> Self {
        let steps = (self.until.as_millis() / STEP.as_millis()) as usize;
        let mut values = values.to_vec();
        // What is over stays as it was, and attempts that have ended are none.
        let last = values.last().copied().unwrap_or_default();
        values.resize(steps, last);
        self.curves.push((name, values));
        self
    }

    /// The picture.
    pub(super) fn svg(&self) -> String {
        let top = self.curves.iter().flat_map(|(_, values)| values).max();
        let top = rounded_up(top.copied().unwrap_or_default().max(1));
        let steps = (self.until.as_millis() / STEP.as_millis()) as f64;
        let x = |step: f64| LEFT + step / steps * (WIDTH - LEFT - 12.0);
        let y = |value: f64| HEIGHT - BELOW - value / top as f64 * (HEIGHT - BELOW - ABOVE);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#868e96\" role=\"img\">\n\
             <title>{title}</title>\n\
             <text x=\"{LEFT}\" y=\"14\" font-weight=\"bold\">{title}</text>\n",
            title = self.title
        );
        for part in 0..=4 {
            let value = top as f64 * f64::from(part) / 4.0;
            let (at, label) = (y(value), grouped(value as u64));
            let (right, beside) = (WIDTH - 12.0, LEFT - 6.0);
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#868e96\" stroke-opacity=\"0.3\"/>\
                 <text x=\"{beside}\" y=\"{base:.1}\" text-anchor=\"end\">{label}</text>",
                base = at + 4.0
            );
            let seconds = self.until.as_secs_f64() * f64::from(part) / 4.0;
            let at = x(steps * f64::from(part) / 4.0);
            let below = HEIGHT - BELOW + 18.0;
            let _ = writeln!(
                svg,
                "<text x=\"{at:.1}\" y=\"{below}\" text-anchor=\"middle\">{seconds} s</text>"
            );
        }
        for ((name, values), (number, colour)) in self.curves.iter().zip(COLOURS.iter().enumerate())
        {
            let mut path = String::new();
            for (step, value) in values.iter().enumerate() {
                let verb = if step == 0 { 'M' } else { 'L' };
                let (x, y) = (x(step as f64), y(*value as f64));
                let _ = write!(path, "{verb}{x:.1} {y:.1}");
            }
            let _ = writeln!(
                svg,
                "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
                 <text x=\"{at}\" y=\"28\" fill=\"{colour}\">{name}</text>",
                at = LEFT + 210.0 * number as f64
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// One, two or five, with as many zeros as it takes.
fn rounded_up(value: u64) -> u64 {
    let mut unit = 1;
    loop {
        for factor in [1, 2, 5] {
            if factor * unit >= value {
                return factor * unit;
            }
        }
        unit *= 10;
    }
}

fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
