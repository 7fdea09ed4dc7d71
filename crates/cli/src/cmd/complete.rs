//! `tpmssh complete`: the candidates for the completion scripts.

use std::ffi::OsString;

use clap::Command;

use crate::complete::{bash, offers};
use crate::show::output;

/// Print what may end a command line, one to a line, for completion scripts.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The line up to the cursor, as bash has it
    #[arg(long, requires = "word", allow_hyphen_values = true)]
    line: Option<String>,

    /// The end of the line that bash is to replace
    #[arg(long, requires = "line", allow_hyphen_values = true)]
    word: Option<String>,

    /// The words up to the cursor, of which the last may be empty; each line that is printed has
    /// what a word is after a tab
    #[arg(last = true)]
    words: Vec<OsString>,
}

pub(crate) fn run(args: &Args, program: Command) -> anyhow::Result<()> {
    let mut text = String::new();
    let lines = match (&args.line, &args.word) {
        (Some(line), Some(word)) => bash::words(program, line, word),
        _ => {
            let offers = offers(program, args.words.clone()).into_iter();
            let line = |value: String, help: String| match help.as_str() {
                "" => value,
                help => format!("{value}\t{help}"),
            };
            offers.map(|offer| line(offer.value, offer.help)).collect()
        }
    };
    for line in lines {
        text += &line;
        text.push('\n');
    }
    Ok(output::write(&text)?)
}
