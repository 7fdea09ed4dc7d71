//! Who runs this program, by the files of the system.

use std::fs;

/// The name of this user: of the password file, else of the environment.
pub(crate) fn name() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    name_in(&passwd, uid)
        .map(str::to_owned)
        .or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty()))
        .unwrap_or_else(|| format!("uid{uid}"))
}

/// The name of the user or group with this number in a password or group file (passwd(5),
/// group(5)): both begin with name, password and number.
pub(crate) fn name_in(file: &str, number: u32) -> Option<&str> {
    let number = number.to_string();
    file.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then_some(name)
    })
}

/// Whether a group file (group(5)) lists `user` as a member of the group with this number.
pub(crate) fn is_listed(groups: &str, number: u32, user: &str) -> bool {
    let number = number.to_string();
    groups.lines().any(|line| {
        let mut fields = line.split(':').skip(2);
        fields.next() == Some(&number)
            && fields
                .next()
                .is_some_and(|members| members.split(',').any(|member| member == user))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_user_comes_from_the_password_file() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n+nis\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        assert_eq!(name_in(passwd, 1000), Some("anna"));
        assert_eq!(name_in(passwd, 0), Some("root"));
        assert_eq!(name_in(passwd, 7), None);
    }

    #[test]
    fn a_member_of_a_group_is_listed_by_its_whole_name() {
        let groups = "root:x:0:\ntss:x:110:bert,anna\n\nbroken\n";
        assert!(is_listed(groups, 110, "anna"));
        assert!(!is_listed(groups, 110, "ann"));
        assert!(!is_listed(groups, 0, "anna"));
        assert!(!is_listed(groups, 11, "anna"));
    }
}
