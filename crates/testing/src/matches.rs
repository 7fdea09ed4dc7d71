//! An assertion about the form of a value.

/// Panics with the value if it does not match the pattern, which `assert!(matches!(..))` does not show.
///
/// More arguments are a message, as for [`assert!`].
///
/// ```
/// use testing::assert_matches;
///
/// let read: Result<u32, String> = Ok(7);
/// assert_matches!(read, Ok(1..=9));
/// assert_matches!(read, Ok(n) if n % 2 == 1, "odd numbers");
/// ```
#[macro_export]
macro_rules! assert_matches {
    ($value:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        match $value {
            $pattern $(if $guard)? => {}
            ref value => panic!(
                "{value:?} does not match {}",
                stringify!($pattern $(if $guard)?)
            ),
        }
    };
    ($value:expr, $pattern:pat $(if $guard:expr)?, $($message:tt)+) => {
        match $value {
            $pattern $(if $guard)? => {}
            ref value => panic!(
                "{value:?} does not match {}: {}",
                stringify!($pattern $(if $guard)?),
                format_args!($($message)+)
            ),
        }
    };
}

#[cfg(test)]
mod tests {
    #[test]
    #[should_panic(expected = "Some(3) does not match None")]
    fn a_failure_shows_the_value_and_the_pattern() {
        assert_matches!(Some(3), None);
    }

    #[test]
    #[should_panic(expected = "Some(3) does not match Some(n) if n > 3: at 7")]
    fn a_failure_shows_the_message() {
        assert_matches!(Some(3), Some(n) if n > 3, "at {}", 7);
    }
}
