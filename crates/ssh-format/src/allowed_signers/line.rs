//! One line of a file of allowed signers.

use crate::any_key::key_of_line;
use crate::key_type::KeyType;
use crate::{AnyKey, time};

/// White space of OpenSSH's `strdelimw`, which ends the principals.
const WHITE: &[u8] = b" \t\r\n";
/// White space between the other parts.
const BLANK: &[u8] = b" \t";

/// The parts of a line: who may sign with which key, for what and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Its number in the file, from 1.
    pub(super) number: usize,
    /// Patterns of the identities, separated by commas.
    pub(super) principals: String,
    pub(super) options: Options,
    pub(super) key: AnyKey,
}

/// The limits of the use of a key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Options {
    /// The key is an authority: it is allowed through its certificates and not itself.
    pub(super) authority: bool,
    /// Patterns of the namespaces, separated by commas.
    pub(super) namespaces: Option<Vec<u8>>,
    /// The first second in which the key may be used.
    pub(super) valid_after: Option<u64>,
    /// The last second in which it may be used.
    pub(super) valid_before: Option<u64>,
}

impl Line {
    /// Reads a line without its line feed; `None` for an empty one or a comment.
    ///
    /// # Errors
    ///
    /// A text that tells what is wrong.
    ///
    /// # Source
    ///
    /// `parse_principals_key_and_options` of OpenSSH.
    pub(super) fn parse(line: &[u8], number: usize) -> Result<Option<Self>, String> {
        // For OpenSSH, a program in C, a NUL ends the line.
        let line = line.split(|&byte| byte == 0).next().unwrap_or_default();
        if let [] | [b'#', ..] = skip(line, WHITE) {
            return Ok(None);
        }
        let (principals, rest) = principals(skip(line, BLANK))?;
        let principals =
            String::from_utf8(principals).map_err(|_| "its principals are not UTF-8")?;
        // A key begins with its type; anything else there is a list of options.
        let (options, key) = match key_of_line(rest) {
            Ok(key) => (&[][..], key),
            Err(no_key) => {
                let len = options_len(rest)?;
                let (options, rest) = rest.split_at(len);
                let is_type =
                    std::str::from_utf8(options).is_ok_and(|name| KeyType::named(name).is_some());
                let key = key_of_line(skip(rest, BLANK))
                    .map_err(|err| if is_type { &no_key } else { &err }.to_string())?;
                (options, key)
            }
        };
        Ok(Some(Self {
            number,
            principals,
            options: Options::parse(options)?,
            key,
        }))
    }
}

impl Options {
    /// Parses options, separated by commas. Their names are not case-sensitive, and values are
    /// quoted.
    ///
    /// # Source
    ///
    /// `sshsigopt_parse` of OpenSSH.
    fn parse(mut rest: &[u8]) -> Result<Self, String> {
        let mut options = Self::default();
        while !rest.is_empty() {
            let start = rest;
            if let Some(after) = without_prefix(rest, b"cert-authority") {
                options.authority = true;
                rest = after;
            } else if let Some(after) = without_prefix(rest, b"namespaces=") {
                let value = quoted(after, &mut rest)?;
                once(&mut options.namespaces, value, "namespaces")?;
            } else if let Some(after) = without_prefix(rest, b"valid-after=") {
                let point = point(&quoted(after, &mut rest)?)?;
                once(&mut options.valid_after, point.latest, "valid-after")?;
            } else if let Some(after) = without_prefix(rest, b"valid-before=") {
                let point = point(&quoted(after, &mut rest)?)?;
                once(&mut options.valid_before, point.earliest, "valid-before")?;
            }
            match rest {
                [] => break,
                [b','] => return Err("a comma ends its options".into()),
                [b',', after @ ..] => rest = after,
                _ => {
                    let name = start.split(|&byte| byte == b',').next().unwrap_or_default();
                    let name = String::from_utf8_lossy(name);
                    return Err(format!("the option {} is not known", name.escape_debug()));
                }
            }
        }
        match (options.valid_after, options.valid_before) {
            (Some(after), Some(before)) if before <= after => {
                Err("its valid-before is not after its valid-after".into())
            }
            _ => Ok(options),
        }
    }
}

/// The principals, and the rest of the line. One pair of quotation marks may be around or in them;
/// the second mark ends them.
///
/// # Source
///
/// `strdelimw` of OpenSSH.
fn principals(line: &[u8]) -> Result<(Vec<u8>, &[u8]), String> {
    let is_end = |byte: &u8| *byte == b'"' || WHITE.contains(byte);
    let Some(end) = line.iter().position(is_end) else {
        return Err("it has no public key".into());
    };
    let (head, rest) = (&line[..end], &line[end + 1..]);
    if line[end] != b'"' {
        return Ok((head.to_vec(), skip(rest, WHITE)));
    }
    let Some(end) = rest.iter().position(|&byte| byte == b'"') else {
        return Err("a quotation mark is missing".into());
    };
    let principals = [head, &rest[..end]].concat();
    Ok((principals, skip(&rest[end + 1..], WHITE)))
}

/// The length of the options in bytes: up to white space that is not quoted.
///
/// # Source
///
/// `sshkey_advance_past_options` of OpenSSH.
fn options_len(text: &[u8]) -> Result<usize, String> {
    let (mut at, mut in_quotes) = (0, false);
    while let Some(&byte) = text.get(at) {
        match byte {
            b' ' | b'\t' if !in_quotes => break,
            b'\\' if text.get(at + 1) == Some(&b'"') => at += 1,
            b'"' => in_quotes = !in_quotes,
            _ => {}
        }
        at += 1;
    }
    if in_quotes {
        return Err("a quotation mark is missing".into());
    }
    Ok(at)
}

/// The value at the start of `rest`, without its quotation marks. Advances `rest` beyond it.
///
/// # Source
///
/// `opt_dequote` of OpenSSH.
fn quoted<'a>(text: &'a [u8], rest: &mut &'a [u8]) -> Result<Vec<u8>, String> {
    let mut left = text
        .strip_prefix(b"\"")
        .ok_or("the value of an option is not quoted")?;
    let mut value = Vec::new();
    loop {
        match left {
            [] => return Err("a quotation mark is missing".into()),
            [b'"', after @ ..] => {
                *rest = after;
                return Ok(value);
            }
            [b'\\', b'"', after @ ..] => {
                value.push(b'"');
                left = after;
            }
            [byte, after @ ..] => {
                value.push(*byte);
                left = after;
            }
        }
    }
}

fn once<T>(option: &mut Option<T>, value: T, name: &str) -> Result<(), String> {
    match option.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("it has {name} twice")),
    }
}

fn point(text: &[u8]) -> Result<time::Reading, String> {
    std::str::from_utf8(text)
        .ok()
        .and_then(time::local_or_utc)
        // Inside OpenSSH, 0 means "no limit", so it refuses 0 in the file.
        .filter(|reading| reading.earliest > 0)
        .ok_or_else(|| {
            let text = String::from_utf8_lossy(text);
            format!("{} is no time", text.escape_debug())
        })
}

fn skip<'a>(text: &'a [u8], white: &[u8]) -> &'a [u8] {
    let len = text.iter().take_while(|byte| white.contains(byte)).count();
    &text[len..]
}

/// The rest of the text after `prefix`, which is not case-sensitive.
fn without_prefix<'a>(text: &'a [u8], prefix: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(rest)
}
