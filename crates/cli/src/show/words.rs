//! Parts of messages.

use crate::show::duration::in_words;

/// `2 problems found`, and how many warnings if warnings count.
pub(crate) fn found(problems: usize, warnings: usize) -> String {
    match (problems, warnings) {
        (problems, 0) => format!("{} found", count(problems, "problem")),
        (0, warnings) => format!("{} found", count(warnings, "warning")),
        (problems, warnings) => format!(
            "{} and {} found",
            count(problems, "problem"),
            count(warnings, "warning")
        ),
    }
}

/// `1 problem`, `2 problems`.
pub(crate) fn count(number: usize, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

/// `16 MiB`, `256 KiB`, `32 bytes`: a limit in the largest unit that it fills, without the rest.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0x10_0000.. => format!("{} MiB", bytes >> 20),
        0x400.. => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} bytes"),
    }
}

/// `the owner and lockout passwords are`, before `set`.
pub(crate) fn passwords_are(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    match names.as_slice() {
        [one] => format!("the {one} password is"),
        several => format!("the {} passwords are", enumerate(several)),
    }
}

pub(crate) fn is_or_are(count: usize) -> &'static str {
    if count == 1 { "is" } else { "are" }
}

/// `the allowed signers`, or the keys of one.
pub(crate) fn whose(identity: Option<&str>) -> String {
    match identity {
        None => "the allowed signers".to_owned(),
        Some(identity) => format!("\"{identity}\" in the allowed signers"),
    }
}

/// `, for 17 minutes`, for the end of a message.
pub(crate) fn closed_for(seconds: u32) -> String {
    match seconds {
        0 => ", until the machine is restarted".to_owned(),
        seconds => format!(", for {}", in_words(seconds)),
    }
}

/// The same if some of the time may have passed.
pub(crate) fn closed_for_at_most(seconds: u32) -> String {
    closed_for(seconds).replacen("for", "for at most", 1)
}

/// `"a", "b" and "c"`; of more than six names the first five, and how many more there are.
pub(crate) fn list(names: &[String]) -> String {
    let shown = if names.len() > 6 { 5 } else { names.len() };
    let mut list: Vec<String> = names[..shown]
        .iter()
        .map(|it| format!("\"{it}\""))
        .collect();
    if shown < names.len() {
        list.push(format!("{} more", names.len() - shown));
    }
    enumerate(&list)
}

/// `a, b and c`.
fn enumerate(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_names_are_counted() {
        let names: Vec<String> = ('a'..='h').map(String::from).collect();
        assert_eq!(list(&names[..3]), r#""a", "b" and "c""#);
        assert_eq!(list(&names[..6]), r#""a", "b", "c", "d", "e" and "f""#);
        assert_eq!(list(&names), r#""a", "b", "c", "d", "e" and 3 more"#);
    }
}
