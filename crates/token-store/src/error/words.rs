//! Parts of messages: which token, how many tries, how long to wait.

/// `token "NAME": `, for the beginning of a message.
pub(super) fn named(token: Option<&str>) -> String {
    token.map_or_else(String::new, |name| {
        format!("token \"{}\": ", name.escape_debug())
    })
}

/// ` (imported)`, for the end of a key's label.
pub(super) fn if_imported(imported: bool) -> &'static str {
    if imported { " (imported)" } else { "" }
}

/// `, N tries left`, for the end of a message.
pub(super) fn tries(left: Option<u32>) -> String {
    match left {
        None => String::new(),
        Some(0) => ", and no more tries left".to_owned(),
        Some(1) => ", 1 try left".to_owned(),
        Some(n) => format!(", {n} tries left"),
    }
}

/// `; the next try is possible in at most N seconds`, for the end of a message; empty if the time is not known.
pub(super) fn wait(recovery: Option<u32>) -> String {
    match recovery {
        None => String::new(),
        Some(s) if s < 120 => format!("; the next try is possible in at most {s} seconds"),
        Some(s) => format!(
            "; the next try is possible in at most {} minutes",
            s.div_ceil(60)
        ),
    }
}
