//! A bar chart for the README, legible on light and dark pages.

use std::fmt::Write;

use crate::{
    measure::{
        AGENT, C_SIGN, FILE, FLOOR, INCUMBENT, LIST, LOGIN, MANAGED, NEXT_LOGIN, THEIR_C_SIGN,
        TPMSSH, TPMSSH_BARE, sign_what,
    },
    report::{Group, Report},
    table::number,
};

const WIDTH: f64 = 760.0;
/// The x coordinate at which bars begin; labels end before it.
const LEFT: f64 = 150.0;
/// The space on the right for the number at the end of the longest bar.
const RIGHT: f64 = 90.0;
const BAR: f64 = 16.0;
const GAP: f64 = 4.0;

/// Colours that are far enough from white and from GitHub's dark grey (#0d1117).
const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}\
.title{font-weight:600}.note{fill:#57606a}\
.tpmssh{fill:#1a7f37}.theirs{fill:#8c959f}.file{fill:#bf8700}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.note{fill:#9198a1}\
.tpmssh{fill:#3fb950}.theirs{fill:#768390}.file{fill:#d29922}}";

/// The panels: a title, the action, and the bars with their colours. Each panel has its own scale.
struct Panel {
    title: &'static str,
    group: Group,
    what: String,
    bars: &'static [(&'static str, &'static str)],
}

/// The contestants that run whole commands.
const PROGRAMS: &[(&str, &str)] = &[
    (TPMSSH, "tpmssh"),
    (TPMSSH_BARE, "tpmssh"),
    (INCUMBENT, "theirs"),
    (FILE, "file"),
];

/// The contestants that sign.
const SIGNERS: &[(&str, &str)] = &[
    (C_SIGN, "tpmssh"),
    (AGENT, "tpmssh"),
    (THEIR_C_SIGN, "theirs"),
    (FLOOR, "file"),
];

fn panels() -> [Panel; 4] {
    let commands = |title, group, what: &str| Panel {
        title,
        group,
        what: what.to_owned(),
        bars: PROGRAMS,
    };
    [
        commands("ssh-keygen -D: which keys are there?", Group::Command, LIST),
        commands(
            "ssh -I: a first login, with a discrete chip",
            Group::Chip,
            LOGIN,
        ),
        commands(
            "ssh through ssh-agent: a further login, with a discrete chip",
            Group::Chip,
            NEXT_LOGIN,
        ),
        Panel {
            title: "One more signature, P-256, on the simulator",
            group: Group::Sign,
            what: sign_what("P-256", MANAGED),
            bars: SIGNERS,
        },
    ]
}

/// The chart; panels without figures are left out.
pub(crate) fn chart(report: &Report) -> String {
    let mut body = String::new();
    let mut y = 24.0;
    for Panel {
        title,
        group,
        what,
        bars,
    } in panels()
    {
        let bars: Vec<(&str, &str, f64)> = bars
            .iter()
            .filter_map(|(who, class)| {
                let figure = report.figure(group, &what, who)?;
                Some((*who, *class, figure.value.median))
            })
            .collect();
        let longest = bars.iter().map(|(_, _, value)| *value).fold(0.0, f64::max);
        if longest <= 0.0 {
            continue;
        }
        text(&mut body, "title", 8.0, y, "start", title);
        y += 10.0;
        for (who, class, value) in bars {
            let length = (WIDTH - LEFT - RIGHT) * value / longest;
            let base = y + BAR - 3.5;
            text(&mut body, "name", LEFT - 8.0, base, "end", who);
            let _ = writeln!(
                body,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.1}\" width=\"{length:.1}\" \
                 height=\"{BAR}\" rx=\"2\"/>"
            );
            let value = format!("{} ms", number(value));
            text(
                &mut body,
                "value",
                LEFT + length + 6.0,
                base,
                "start",
                &value,
            );
            y += BAR + GAP;
        }
        y += 26.0;
    }
    let note = format!(
        "median, shorter is better; {}, {}",
        report.date, report.command
    );
    text(&mut body, "note", 8.0, y, "start", &note);
    let height = y + 12.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {WIDTH} {height:.0}\" role=\"img\" \
         aria-label=\"tpmssh beside tpm2-pkcs11 and a key file\">\n<style>{STYLE}</style>\n\
         {body}</svg>\n"
    )
}

fn text(out: &mut String, class: &str, x: f64, y: f64, anchor: &str, text: &str) {
    let text = escape(text);
    let _ = writeln!(
        out,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::report;

    #[test]
    fn the_longest_bar_fills_its_panel_and_the_others_are_in_proportion() {
        let chart = chart(&report(&[
            (Group::Command, LIST, TPMSSH, 10.0, None),
            (Group::Command, LIST, INCUMBENT, 40.0, None),
        ]));
        assert!(
            chart.contains("class=\"theirs\" x=\"150\" y=\"54.0\" width=\"520.0\""),
            "{chart}"
        );
        assert!(
            chart.contains("class=\"tpmssh\" x=\"150\" y=\"34.0\" width=\"130.0\""),
            "{chart}"
        );
        assert!(chart.contains(">10 ms</text>"));
        assert!(!chart.contains("class=\"file\""), "there was none");
        assert!(!chart.contains("ssh -I"), "a panel without bars");
        assert_eq!(
            chart.matches("<text").count(),
            chart.matches("</text>").count()
        );
    }

    #[test]
    fn what_is_no_markup_is_not_read_as_such() {
        let mut report = report(&[(Group::Command, LIST, TPMSSH, 10.0, None)]);
        report.command = "a <b> & c".into();
        assert!(chart(&report).contains("a &lt;b&gt; &amp; c"));
    }
}
