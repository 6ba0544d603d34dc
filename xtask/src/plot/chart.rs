//! A line chart with two logarithmic axes, as SVG: readable in light and dark, by colour and by shape, and the same to
//! the byte whenever it is drawn from the same points.

use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 400.0;
/// Around the plot: room for what is written there.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 128.0;
const TOP: f64 = 74.0;
const BOTTOM: f64 = 58.0;
/// The names of lines stand at least so far from each other.
const NAME_GAP: f64 = 17.0;
/// With more grid lines than these, fewer digits have one.
const MOST_TICKS: usize = 9;

/// The colours of lines, which have the same lightness and are told apart by the colour-blind as well; each on light
/// and on dark ground.
const COLOURS: [(&str, &str); 4] =
    [("#0b69b7", "#6cb6ff"), ("#c2510a", "#f0883e"), ("#14804f", "#4cc38a"), ("#8a3fc2", "#c297ff")];

/// What is not a line's own colour.
struct Theme {
    ground: &'static str,
    ink: &'static str,
    muted: &'static str,
    grid: &'static str,
}

const LIGHT: Theme = Theme { ground: "#fff", ink: "#1f2328", muted: "#59636e", grid: "#e4e8ec" };
const DARK: Theme = Theme { ground: "#0d1117", ink: "#e6edf3", muted: "#9198a1", grid: "#262c36" };

impl Theme {
    /// Plain rules, since not everything that draws SVG knows variables.
    fn rules(&self, colour: fn(&(&'static str, &'static str)) -> &'static str) -> String {
        let Self { ground, ink, muted, grid } = self;
        let mut rules = format!(
            ".ground{{fill:{ground}}}.title{{fill:{ink}}}.unit,.tick,.floor.name{{fill:{muted}}}\
             .axis,.floor.line{{stroke:{muted}}}.grid{{stroke:{grid}}}.mark{{stroke:{ground}}}"
        );
        for (at, colours) in COLOURS.iter().enumerate() {
            let colour = colour(colours);
            let _ = write!(rules, ".l{at}.line{{stroke:{colour}}}.l{at}.mark,.l{at}.name{{fill:{colour}}}");
        }
        rules
    }
}

#[derive(Debug)]
pub struct Chart {
    pub title: &'static str,
    /// What is written under the title, since it is read before the axis.
    pub y: &'static str,
    pub x: &'static str,
    pub lines: Vec<Line>,
}

#[derive(Debug)]
pub struct Line {
    pub name: String,
    pub points: Vec<(f64, f64)>,
    /// A floor is drawn dashed and grey.
    pub floor: bool,
}

/// A logarithmic axis between two values, on so many pixels.
#[derive(Debug, Clone, Copy)]
struct Axis {
    values: (f64, f64),
    pixels: (f64, f64),
}

impl Axis {
    fn at(self, value: f64) -> f64 {
        let (least, most) = (self.values.0.log10(), self.values.1.log10());
        let part = (value.log10() - least) / (most - least);
        self.pixels.0 + part * (self.pixels.1 - self.pixels.0)
    }
}

impl Chart {
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let span = |value: fn(&(f64, f64)) -> f64| {
            points()
                .map(value)
                .fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)))
        };
        let (x_span, y_span) = (span(|point| point.0), span(|point| point.1));
        let x = Axis { values: x_span, pixels: (LEFT + 18.0, WIDTH - RIGHT - 8.0) };
        let ticks = y_ticks(y_span);
        let bounds = (ticks.first().copied().unwrap_or(1.0), ticks.last().copied().unwrap_or(10.0));
        let y = Axis { values: bounds, pixels: (HEIGHT - BOTTOM, TOP) };
        let mut svg = self.head();
        for tick in ticks {
            let at = y.at(tick);
            let _ = writeln!(
                svg,
                r#"<line class="grid" x1="{LEFT}" y1="{at:.1}" x2="{:.1}" y2="{at:.1}"/>"#,
                WIDTH - RIGHT
            );
            let text = plain(tick);
            let _ = writeln!(
                svg,
                r#"<text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{text}</text>"#,
                LEFT - 9.0,
                at + 4.0
            );
        }
        let mut places: Vec<f64> = points().map(|point| point.0).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        for place in places {
            let (at, text) = (x.at(place), plain(place));
            let (axis, below) = (HEIGHT - BOTTOM, HEIGHT - BOTTOM + 20.0);
            let _ = writeln!(
                svg,
                r#"<line class="axis" x1="{at:.1}" y1="{axis}" x2="{at:.1}" y2="{:.1}"/>"#,
                axis + 5.0
            );
            let _ = writeln!(
                svg,
                r#"<text class="tick" x="{at:.1}" y="{below}" text-anchor="middle">{text}</text>"#
            );
        }
        let _ = writeln!(
            svg,
            r#"<line class="axis" x1="{LEFT}" y1="{0}" x2="{1}" y2="{0}"/>"#,
            HEIGHT - BOTTOM,
            WIDTH - RIGHT
        );
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        let _ = writeln!(
            svg,
            r#"<text class="tick" x="{middle}" y="{}" text-anchor="middle">{}</text>"#,
            HEIGHT - 14.0,
            escaped(self.x)
        );
        self.draw_lines(x, y, &mut svg);
        self.draw_names(y, &mut svg);
        svg.push_str("</svg>\n");
        svg
    }

    fn head(&self) -> String {
        let (title, y, x) = (escaped(self.title), escaped(self.y), escaped(self.x));
        let (light, dark) = (LIGHT.rules(|colours| colours.0), DARK.rules(|colours| colours.1));
        format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-labelledby="t d">
<title id="t">{title}</title>
<desc id="d">{y}; {x}. Both axes are logarithmic.</desc>
<style>
text{{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif}}
.title{{font-size:17px;font-weight:600}}
.name{{font-weight:600}}
.line{{fill:none;stroke-width:2.25;stroke-linejoin:round}}
.floor.line{{stroke-dasharray:6 5;stroke-width:1.75}}
.mark{{stroke-width:1.5}}
{light}
@media (prefers-color-scheme:dark){{{dark}}}
</style>
<rect class="ground" width="{WIDTH}" height="{HEIGHT}" rx="8"/>
<text class="title" x="20" y="31">{title}</text>
<text class="unit" x="20" y="52">{y}</text>
"##
        )
    }

    fn draw_lines(&self, x: Axis, y: Axis, svg: &mut String) {
        for (class, line) in self.classes().zip(&self.lines) {
            let at: Vec<_> = line.points.iter().map(|point| (x.at(point.0), y.at(point.1))).collect();
            let path: Vec<_> = at.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let _ = writeln!(svg, r#"<polyline class="{class} line" points="{}"/>"#, path.join(" "));
            if !line.floor {
                at.iter().for_each(|(x, y)| mark(&class, *x, *y, svg));
            }
        }
    }

    /// Names stand at the ends of their lines, moved apart where these meet.
    fn draw_names(&self, y: Axis, svg: &mut String) {
        let mut names: Vec<_> = self
            .classes()
            .zip(&self.lines)
            .filter_map(|(class, line)| Some((y.at(line.points.last()?.1), class, &line.name)))
            .collect();
        names.sort_by(|one, other| one.0.total_cmp(&other.0));
        let wanted: Vec<_> = names.iter().map(|name| name.0).collect();
        for ((_, class, name), at) in names.iter().zip(apart(&wanted, (TOP, HEIGHT - BOTTOM))) {
            let (left, base) = (WIDTH - RIGHT + 6.0, at + 4.5);
            let _ = writeln!(
                svg,
                r#"<text class="{class} name" x="{left}" y="{base:.1}">{}</text>"#,
                escaped(name)
            );
        }
    }

    fn classes(&self) -> impl Iterator<Item = String> {
        let mut next = 0;
        self.lines.iter().map(move |line| {
            if line.floor {
                return "floor".to_owned();
            }
            next += 1;
            format!("l{}", (next - 1) % COLOURS.len())
        })
    }
}

/// A mark in the shape of its line: disc, square, diamond, triangle.
fn mark(class: &str, x: f64, y: f64, svg: &mut String) {
    let corners = |corners: &[(f64, f64)]| {
        let corners: Vec<_> =
            corners.iter().map(|(right, down)| format!("{:.1},{:.1}", x + right, y + down)).collect();
        format!(r#"<polygon class="{class} mark" points="{}"/>"#, corners.join(" "))
    };
    let shape = match class {
        "l1" => corners(&[(-4.5, -4.5), (4.5, -4.5), (4.5, 4.5), (-4.5, 4.5)]),
        "l2" => corners(&[(0.0, -6.5), (6.5, 0.0), (0.0, 6.5), (-6.5, 0.0)]),
        "l3" => corners(&[(0.0, -6.0), (6.0, 5.0), (-6.0, 5.0)]),
        _ => format!(r#"<circle class="{class} mark" cx="{x:.1}" cy="{y:.1}" r="5"/>"#),
    };
    let _ = writeln!(svg, "{shape}");
}

/// The same places in the same order, at least [`NAME_GAP`] apart where that fits into the bounds.
fn apart(sorted: &[f64], bounds: (f64, f64)) -> Vec<f64> {
    let mut places = sorted.to_vec();
    let mut least = bounds.0;
    for place in &mut places {
        *place = place.max(least);
        least = *place + NAME_GAP;
    }
    // Those that were moved below the plot come back up, and move up others.
    let mut most = bounds.1;
    for place in places.iter_mut().rev() {
        *place = place.min(most);
        most = *place - NAME_GAP;
    }
    places
}

/// Grid lines around all values: at every digit; or, if that were too many, at ones, twos and fives, or fewer.
fn y_ticks((least, most): (f64, f64)) -> Vec<f64> {
    let ticks = |digits: &[f64]| {
        let (first, last) = (least.log10().floor() as i32 - 1, most.log10().ceil() as i32 + 1);
        let all: Vec<f64> = (first..=last)
            .flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)))
            .collect();
        // A value on the bound itself would be drawn on the frame.
        let begin = all.iter().rposition(|tick| *tick < least / 1.05).unwrap_or(0);
        let end = all.iter().position(|tick| *tick > most * 1.05).unwrap_or(all.len() - 1);
        all[begin..=end].to_vec()
    };
    let all = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
    let candidates = [&all[..], &[1.0, 2.0, 5.0], &[1.0, 5.0]];
    candidates.into_iter().map(ticks).find(|ticks| ticks.len() <= MOST_TICKS).unwrap_or_else(|| ticks(&[1.0]))
}

/// A number without an exponent, with commas.
fn plain(value: f64) -> String {
    if value < 1.0 {
        let digits = (-value.log10().floor()) as usize;
        return format!("{value:.digits$}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, points: &[(f64, f64)], floor: bool) -> Line {
        Line { name: name.into(), points: points.to_vec(), floor }
    }

    #[test]
    fn ten_times_as_much_is_as_far_everywhere() {
        let axis = Axis { values: (1.0, 1_000.0), pixels: (0.0, 300.0) };
        let found: Vec<_> = [1.0, 10.0, 100.0, 1_000.0].map(|value| axis.at(value).round()).to_vec();
        assert_eq!(found, [0.0, 100.0, 200.0, 300.0]);
    }

    #[test]
    fn grid_lines_surround_all_values_and_are_not_too_many() {
        assert_eq!(y_ticks((6.0, 9.5)), [5.0, 6.0, 7.0, 8.0, 9.0, 10.0]);
        let found: Vec<_> = y_ticks((0.18, 9.1)).iter().map(|tick| plain(*tick)).collect();
        assert_eq!(found, ["0.1", "0.2", "0.5", "1", "2", "5", "10"]);
        assert!(y_ticks((0.001, 40_000.0)).len() <= MOST_TICKS + 1);
        assert_eq!(y_ticks((10.0, 10.0)), [9.0, 10.0, 20.0], "no value lies on the frame");
    }

    #[test]
    fn names_of_lines_that_meet_are_moved_apart_within_the_plot() {
        assert_eq!(apart(&[100.0, 200.0], (0.0, 400.0)), [100.0, 200.0]);
        assert_eq!(apart(&[100.0, 101.0, 102.0], (0.0, 400.0)), [100.0, 117.0, 134.0]);
        assert_eq!(apart(&[398.0, 399.0], (0.0, 400.0)), [383.0, 400.0]);
    }

    #[test]
    fn numbers_are_written_out() {
        for (value, text) in
            [(0.02, "0.02"), (0.5, "0.5"), (5.0, "5"), (15_000.0, "15,000"), (1e6, "1,000,000")]
        {
            assert_eq!(plain(value), text);
        }
    }

    #[test]
    fn every_line_has_its_name_and_a_floor_has_no_marks() {
        let lines = vec![
            line("sparse & slow", &[(10.0, 9.0), (100.0, 8.0)], false),
            line("floor", &[(10.0, 6.0), (100.0, 6.0)], true),
        ];
        let svg = Chart { title: "t", y: "u", x: "n", lines }.svg();
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert_eq!(svg.matches("<circle").count(), 2, "the floor has none");
        assert!(svg.contains(">sparse &amp; slow</text>") && svg.contains(r#"class="floor name""#));
        assert!(svg.contains(">100</text>") && svg.contains("prefers-color-scheme:dark"));
    }
}
