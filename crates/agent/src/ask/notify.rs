//! A note on the desktop that a key was used.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// How long the program may take; nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

/// Shows `text` by way of `notify-send`, without waiting for it. A failure is logged.
pub(crate) fn show(text: &str) {
    let mut command = Command::new("notify-send");
    command
        .args(["--app-name=tpmssh", "--", "An SSH key was used"])
        .arg(escape(text))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    match command.spawn() {
        Ok(mut child) => drop(tokio::spawn(async move {
            // Its exit code does not matter.
            let _ = tokio::time::timeout(PATIENCE, child.wait()).await;
        })),
        Err(err) => log::warn!("cannot run notify-send: {err}"),
    }
}

/// Desktop Notifications Specification, "Markup": the text may hold some of HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_label_is_no_markup() {
        assert_eq!(super::escape("<b>&"), "&lt;b&gt;&amp;");
    }
}
