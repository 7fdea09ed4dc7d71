//! Host keys of the TPM beside those in files: each algorithm that sshd offers works.

use super::*;

/// The keys in files are those of a fresh Debian: RSA, ECDSA on P-256 and Ed25519. The TPM has a key
/// on another curve, one on the same curve, one of RSA, or two.
#[test]
fn every_algorithm_works_beside_keys_in_files() {
    for (options, in_tpm, left_out) in [
        (&[&[][..]][..], &["ecdsa-sha2-nistp384"][..], &[][..]),
        (
            &[&["-t", "ecdsa", "-b", "256"][..]],
            &["ecdsa-sha2-nistp256"],
            &["ecdsa"],
        ),
        (
            &[&["-t", "rsa"]],
            &["rsa-sha2-256", "rsa-sha2-512"],
            &["rsa"],
        ),
        (
            &[&["-b", "256"], &["-b", "384"], &[]],
            &["ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384"],
            &["ecdsa"],
        ),
    ] {
        let machine = Machine::new(Program::new());
        let files = ["rsa", "ecdsa", "ed25519"].map(|kind| (kind, machine.file_key(kind, &[])));
        let mut last = String::new();
        for options in options {
            let done = machine.setup(options);
            last = done.stderr.clone();
            done.ok();
        }
        let told: Vec<_> = ["rsa", "ecdsa", "ed25519"]
            .into_iter()
            .filter(|kind| {
                let etc = &machine.etc;
                last.contains(&format!(
                    "tpmssh: {etc}/ssh/ssh_host_{kind}_key is left out: "
                ))
            })
            .collect();
        assert_eq!(told, left_out, "{last}");

        let _agent = machine.serve();
        let (sshd, key) = machine.sshd();
        let shown = machine.shown(&sshd, &key);
        let expected = |algorithm: &str| {
            let file = files.iter().find(|(kind, public)| {
                let same = public.split(' ').next().unwrap();
                (same == algorithm || (*kind == "rsa" && algorithm.starts_with("rsa-sha2")))
                    && !left_out.contains(kind)
            });
            file.map(|(_, public)| public.split_whitespace().nth(1).unwrap())
        };
        let mut algorithms = vec!["ssh-ed25519", "rsa-sha2-256", "rsa-sha2-512"];
        algorithms.push("ecdsa-sha2-nistp256");
        algorithms.extend(in_tpm);
        algorithms.sort_unstable();
        algorithms.dedup();
        let mut offered: Vec<_> = shown.iter().map(|(it, _)| it.as_str()).collect();
        offered.sort_unstable();
        offered.dedup();
        // For ssh-ed25519 the server shows the key that `Sshd` made, not that of the file.
        assert_eq!(offered, algorithms, "{options:?}");
        for (algorithm, key) in shown.iter().filter(|(it, _)| it != "ssh-ed25519") {
            let in_file = expected(algorithm);
            assert_eq!(in_file.is_none(), in_tpm.contains(&algorithm.as_str()));
            assert!(
                in_file.is_none_or(|it| it == key),
                "{options:?} {algorithm}"
            );
        }
        let proven = machine.check(&sshd).ok();
        let count = if in_tpm.contains(&"rsa-sha2-256") {
            1
        } else {
            in_tpm.len()
        };
        assert_eq!(proven.lines().count(), count, "{proven}");
    }
}

/// What an older version wrote: the TPM's key and a file's of the same type and curve.
#[test]
fn a_rival_in_a_file_is_named_by_the_check_and_left_out_by_the_next_setup() {
    let machine = Machine::new(Program::new());
    machine.setup(&[]).ok();
    let label = machine.read("ssh/ssh_host_tpm_ecdsa_key.pub");
    let label = label.trim().splitn(3, ' ').nth(2).unwrap().to_owned();
    let _agent = machine.serve();
    let public = machine.file_key("ecdsa", &[]);
    let etc = &machine.etc;
    let file = format!("{etc}/ssh/ssh_host_ecdsa_key");
    let drop_in = format!("{etc}/ssh/sshd_config.d/10-tpmssh.conf");
    let good = fs::read_to_string(&drop_in).unwrap();
    let hint = "hint: sudo tpmssh host setup leaves the other key out; after that: sudo systemctl \
                reload ssh\n";
    let refused = |at: u16, why: &str| {
        format!(
            "tpmssh: the server at 127.0.0.1:{at} does not prove host key \"{label}\": {why}, that \
             of {file}\n{hint}"
        )
    };

    fs::write(&drop_in, format!("{good}HostKey {file}\n")).unwrap();
    let (sshd, key) = machine.sshd();
    let why = "it shows this key and signs with another one of the same type and curve";
    if machine.logs_in(&sshd, &key) {
        // Newer releases sign with the key that they show: 10.0 does.
        machine.check(&sshd).ok();
    } else {
        machine.check(&sshd).fails(1, &refused(sshd.port(), why));
    }
    drop(sshd);

    let (agent, keys) = good.split_once('\n').unwrap();
    fs::write(&drop_in, format!("{agent}\nHostKey {file}\n{keys}")).unwrap();
    let (sshd, _) = machine.sshd();
    let line = machine.program.secret("file.pub", &public);
    let fingerprint = run("ssh-keygen", &["-l", "-f", &line]);
    let fingerprint = fingerprint.split(' ').nth(1).unwrap();
    let why = format!("it shows another key of this type and curve, {fingerprint}");
    machine.check(&sshd).fails(1, &refused(sshd.port(), &why));
    drop(sshd);

    fs::write(&drop_in, format!("# Written by tpmssh host setup.\n{keys}")).unwrap();
    let done = machine.setup(&[]);
    let line = format!("tpmssh: {file} is left out: ");
    assert!(done.stderr.contains(&line), "{done:?}");
    done.ok();
    assert_eq!(fs::read_to_string(&drop_in).unwrap(), good);
    let (sshd, _) = machine.sshd();
    machine.check(&sshd).ok();
}

#[test]
fn a_key_that_the_configuration_names_cannot_be_left_out() {
    let machine = Machine::new(Program::new());
    machine.file_key("ecdsa", &[]);
    let etc = &machine.etc;
    let config = "Include sshd_config.d/*.conf\nhostkey /etc/ssh/ssh_host_ecdsa_key\n";
    fs::write(format!("{etc}/ssh/sshd_config"), config).unwrap();
    let named = format!(
        "tpmssh: line 2 of {etc}/ssh/sshd_config names the host key {etc}/ssh/ssh_host_ecdsa_key, which"
    );
    machine.setup(&["-b", "256"]).fails(
        1,
        &format!(
            "{named} has the same type and curve\n\
             hint: take that line out, or choose another kind with -t and -b\n"
        ),
    );
    machine.setup(&["--only"]).fails(
        1,
        &format!("{named} --only cannot leave out\nhint: take that line out, then try again\n"),
    );
    assert!(!fs::exists(&machine.store).unwrap());
    machine.setup(&[]).ok();
    assert!(
        machine
            .read("ssh/ssh_host_tpm_ecdsa384_key.pub")
            .starts_with("ecdsa-sha2-nistp384 ")
    );
    let drop_in = machine.read("ssh/sshd_config.d/10-tpmssh.conf");
    assert_eq!(drop_in.matches("\nHostKey ").count(), 1, "{drop_in}");
}
