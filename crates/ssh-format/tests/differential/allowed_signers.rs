//! Files of allowed signers: `ssh-keygen -Y verify` and `-Y find-principals`.

use std::collections::BTreeSet;
use std::process::Command;

use ssh_encoding::base64::{Base64, Encoding};
use ssh_format::{AllowedSigners, Signer, SshSig, time};

use crate::certificates::certificate_by;
use crate::keygen::Keygen;
use crate::secret::{self, Secret};
use crate::sshsig::{MESSAGE, armored, signed};
use crate::tally::{self, Verdict};
use crate::tree::{change_text, encode};
use testing::differential::Random;

/// Times without `Z` are local ones: with summer time in the north and the south, with half an
/// hour, without any, and with rules in the variable itself.
const ZONES: [&str; 5] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "CET-1CEST,M3.5.0,M10.5.0/3",
];
/// Set in a process that already has the time zone of its test.
const IN_ZONE: &str = "TPMSSH_DIFFERENTIAL_IN_ZONE";

#[test]
fn allowed_signers() {
    in_each_zone("allowed_signers", || {
        tally::run("allowed signers", 30, |random, keygen| {
            let case = Case::new(random, keygen);
            let theirs = case.ask(
                keygen,
                &["-Y", "verify", "-n", &case.namespace, "-I", &case.identity],
            );
            let ours = |now| {
                let allowed = &case.allowed;
                allowed.allow(&case.identity, &case.namespace, &case.signer, now)
            };
            vec![Verdict {
                ours: if ours(case.now) {
                    Ok(())
                } else {
                    Err(case.why_not(ours))
                },
                theirs: theirs.is_some(),
                input: case.file,
            }]
        });
    });
}

#[test]
fn find_principals() {
    in_each_zone("find_principals", || {
        tally::run("find principals", 30, |random, keygen| {
            let case = Case::new(random, keygen);
            let theirs = case
                .ask(keygen, &["-Y", "find-principals"])
                .unwrap_or_default();
            let theirs: BTreeSet<&str> = theirs.lines().collect();
            let names = |now| case.allowed.principals(None, &case.signer, now);
            let named = names(case.now);
            let ours: BTreeSet<&str> = named.iter().map(String::as_str).collect();
            let (ours, theirs) = if ours == theirs {
                let some = (!ours.is_empty()).then_some(());
                (some.ok_or_else(String::new), some.is_some())
            } else if ours.is_subset(&theirs)
                || ours
                    .iter()
                    .all(|it| case.named_by_a_line(keygen).contains(*it))
            {
                (Err(case.why_not(|now| names(now) != named)), true)
            } else {
                (Ok(()), false)
            };
            vec![Verdict {
                ours,
                theirs,
                input: case.file.clone(),
            }]
        });
    });
}

/// Runs the test with this name again in processes of their own, one for each zone.
fn in_each_zone(name: &str, test: impl Fn()) {
    if std::env::var_os(IN_ZONE).is_some() {
        return test();
    }
    let inputs = std::env::var("TPMSSH_DIFFERENTIAL").map_or(300, |it| it.parse().unwrap());
    let zones = u32::try_from(ZONES.len()).unwrap();
    for (number, zone) in ZONES.into_iter().enumerate() {
        let test = format!("allowed_signers::{name}");
        let inputs = u32::div_ceil(inputs, zones).to_string();
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &test, "--nocapture"])
            .env("TZ", zone)
            .env(IN_ZONE, "1")
            .env("TPMSSH_DIFFERENTIAL", inputs)
            .env(tally::FIRST, (number << 32).to_string())
            .output()
            .unwrap();
        let [shown, told] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
        assert!(output.status.success(), "{zone}: {shown}{told}");
        assert!(shown.contains("laxer 0"), "{zone}: {shown}");
        let lines = shown
            .lines()
            .filter(|line| line.contains("laxer") || line.starts_with("    "));
        for line in lines {
            println!("TZ={zone} {line}");
        }
    }
}

/// A good signature, and a file that may allow it.
struct Case {
    file: Vec<u8>,
    path: String,
    signature: String,
    now: u64,
    identity: String,
    namespace: String,
    signer: Signer,
    allowed: AllowedSigners,
}

impl Case {
    fn new(random: &mut Random, keygen: &Keygen) -> Self {
        let half = secret::all().len() / 2;
        let secret = &secret::all()[random.below(half)];
        let authority = &secret::all()[half + random.below(half)];
        let namespace = *random.pick(&["file", "git"]);
        // A valid signature: other tests have invalid ones.
        let (signature, signer) = loop {
            let named = match random.below(3) {
                0 => certificate_by(random, secret, authority, 0),
                _ => secret.public(),
            };
            let text = armored(&signed(random, secret, named, namespace, false));
            if let Ok(read) = SshSig::from_armored(&text) {
                let digest = read.hash().of(MESSAGE).unwrap();
                if read.verify(namespace, &digest).is_ok() {
                    break (text, read.signer().clone());
                }
            }
        };
        let now = now(random);
        let file = file(random, now, secret, authority);
        Self {
            path: keygen.write("allowed", &file).to_str().unwrap().to_owned(),
            signature: keygen
                .write("sig", signature.as_bytes())
                .to_str()
                .unwrap()
                .to_owned(),
            identity: (*random.pick(&[
                "anna",
                "anna",
                "anna",
                "anna",
                "bert",
                "anna bert",
                "ANNA",
            ]))
            .to_owned(),
            namespace: namespace.to_owned(),
            allowed: AllowedSigners::parse(&file),
            file,
            now,
            signer,
        }
    }

    /// What `ssh-keygen` prints, if it succeeds.
    fn ask(&self, keygen: &Keygen, args: &[&str]) -> Option<String> {
        let time = digits(self.now, 14);
        let common = [
            "-f",
            &self.path,
            "-s",
            &self.signature,
            &format!("-Overify-time={time}Z"),
        ];
        let args: Vec<String> = args
            .iter()
            .chain(&common)
            .map(ToString::to_string)
            .collect();
        keygen.prints(&args, MESSAGE)
    }

    /// The principals that `ssh-keygen` finds by any single line of the file. If we skip the first
    /// line that it accepts, we return the principals of a later one.
    fn named_by_a_line(&self, keygen: &Keygen) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for line in self.file.split(|&byte| byte == b'\n') {
            keygen.write("allowed", line);
            let found = self.ask(keygen, &["-Y", "find-principals"]);
            names.extend(
                found
                    .iter()
                    .flat_map(|found| found.lines().map(str::to_owned)),
            );
        }
        names
    }

    /// The reasons for our refusal; `ours` is our verdict at another time.
    fn why_not(&self, ours: impl Fn(u64) -> bool) -> String {
        let mut why: Vec<String> = self
            .allowed
            .skipped()
            .iter()
            .map(ToString::to_string)
            .collect();
        if let Signer::Certificate(certificate) = &self.signer {
            why.extend(certificate.verify().err().map(|err| err.to_string()));
            why.extend(
                certificate
                    .check_critical_options()
                    .err()
                    .map(|err| err.to_string()),
            );
            if self.file.contains(&b'!')
                || certificate.principals().iter().any(|it| it.contains(','))
            {
                why.push("an exclusion".to_owned());
            }
        }
        if [-3600, 3600]
            .into_iter()
            .any(|hour| ours(self.now.saturating_add_signed(hour)))
        {
            why.push("a local time".to_owned());
        }
        why.join("; ")
    }
}

/// A time in winter, in summer, or where some zone changes its clocks.
fn now(random: &mut Random) -> u64 {
    let day = *random.pick(&[
        "20270115120000",
        "20270701120000",
        "20270328010000",
        "20271031010000",
        "20270314070000",
        "20271107060000",
        "20270403150000",
        "20271002153000",
    ]);
    let shift = u64::try_from(random.below(4 * 3600)).unwrap();
    time::parse(day).unwrap() - 2 * 3600 + shift
}

/// The first digits of a time in UTC: `YYYYMMDDHHMMSS`.
fn digits(seconds: u64, len: usize) -> String {
    let words = time::in_words(seconds);
    words
        .chars()
        .filter(char::is_ascii_digit)
        .take(len)
        .collect()
}

/// Some lines, most of which are about one of these two keys.
fn file(random: &mut Random, now: u64, secret: &Secret, authority: &Secret) -> Vec<u8> {
    let mut file = Vec::new();
    for _ in 0..=random.below(3) {
        let mut line = line(random, now, secret, authority).into_bytes();
        if random.chance(20) {
            change_text(random, &mut line);
        }
        file.extend(line);
        file.extend_from_slice(random.text(&[
            &b"\n"[..],
            b"\n",
            b"\n",
            b"\r\n",
            b"\n\n",
            b"\n# \n",
        ]));
    }
    if random.chance(20) {
        file.pop();
    }
    file
}

fn line(random: &mut Random, now: u64, secret: &Secret, authority: &Secret) -> String {
    let principals = *random.pick(&[
        "anna",
        "anna",
        "*",
        "a*",
        "bert,anna",
        "!bert,*",
        "*,!anna",
        "anna,,bert",
        "\"anna\"",
        "\"anna bert\"",
        "an\"na\"",
        "an\"na",
        "?nna",
        "ANNA",
        "\"\"",
        "anna,",
        "!!anna,*",
        "*\\na",
    ]);
    let (key, certifies) = match random.below(8) {
        0 => (random.pick(secret::all()), false),
        1..=5 => (secret, false),
        _ => (authority, true),
    };
    let mut options = Vec::new();
    if certifies != random.chance(8) {
        options.push(
            (*random.pick(&["cert-authority", "cert-authority", "CERT-authority"])).to_owned(),
        );
    }
    for _ in 0..*random.pick(&[0, 0, 1, 1, 2, 3]) {
        options.push(option(random, now));
    }
    let gap = *random.pick(&[" ", " ", " ", "\t", "  ", " \t"]);
    let options = if options.is_empty() {
        String::new()
    } else {
        options.join(",") + gap
    };
    let blob = Base64::encode_string(&encode(&key.public()));
    let comment = *random.pick(&["", " a comment", " \"a comment"]);
    format!(
        "{principals}{gap}{options}{}{gap}{blob}{comment}",
        key.name()
    )
}

fn option(random: &mut Random, now: u64) -> String {
    let hours = [0, 0, 1, 2, 24, 24 * 31, 24 * 31];
    let shift = random.pick(&hours) * 3600 + u64::from(random.byte() % 3);
    let (earlier, later) = (now - shift, now + shift);
    let len = *random.pick(&[8, 8, 12, 14, 14, 14, 14, 14, 14, 13]);
    let zone = *random.pick(&["Z", "Z", "Z", "", "", "", "", "UTC", "z", "utc", " "]);
    let (earlier, later) = (digits(earlier, len) + zone, digits(later, len) + zone);
    match random.below(16) {
        0..=3 => format!("valid-after=\"{earlier}\""),
        4..=7 => format!("valid-before=\"{later}\""),
        8 => format!("valid-before=\"{earlier}\""),
        9 => format!("valid-after={earlier}"),
        10 => format!("Valid-After=\"{earlier}\""),
        11 => {
            (*random.pick(&["namespaces=\"git\"", "namespaces=\"\"", "namespaces=file"])).to_owned()
        }
        12 => (*random.pick(&["namespaces=\"git,f*\"", "NAMESPACES=\"*,!git\""])).to_owned(),
        13 => (*random.pick(&["namespaces=\"fi\\\"le,file\"", "namespaces=\"a b,*\""])).to_owned(),
        14 => (*random.pick(&[
            "no-touch-required",
            "",
            "valid-after=\"20270231Z\"",
            "cert-authority=",
        ]))
        .to_owned(),
        _ => "valid-before=\"20991231\"".to_owned(),
    }
}
