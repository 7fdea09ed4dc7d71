//! Files that are not read: of other tools, of other people, and what is no file.

use super::*;

#[test]
fn files_of_other_tools_are_called_what_they_are() {
    let program = Program::with_token();
    let copy = |name: &str, content: &[u8]| {
        let file = text(program.home.secret_file(name, ""));
        fs::write(&file, content).unwrap();
        file
    };
    // Made by openssl's tpm2 provider and by ssh-tpm-agent's ssh-tpm-keygen; the first bytes count:
    // 30 81 f2, then the object identifier 2.23.133.10.1.3 (loadable) or .4 (importable).
    let tss2 = |body: &str| {
        format!("-----BEGIN TSS2 PRIVATE KEY-----\n{body}\n-----END TSS2 PRIVATE KEY-----\n")
    };
    let file = copy("loadable", tss2("MIHyBgZngQUKAQOgAwEB").as_bytes());
    refused(
        &program,
        &file,
        8,
        &format!(
            "tpmssh: {file}: it is a key of a TPM, in the form of another tool\n\
             hint: serve it with its own agent: tpmssh agent --proxy SOCKET\n"
        ),
    );
    let file = copy("importable", tss2("MIHyBgZngQUKAQSgAwEB").as_bytes());
    refused(
        &program,
        &file,
        8,
        &format!(
            "tpmssh: {file}: anyone who can use the TPM can use the key in this file\n\
             hint: import it with the tool that made it, then delete the file\n"
        ),
    );
    let file = copy("p12", b"0\x82\x0a\x00\x02\x01\x03");
    refused(
        &program,
        &file,
        2,
        &format!(
            "tpmssh: {file}: it is binary, such as PKCS#12, and not a private key of OpenSSH\n\
             hint: if it is PKCS#12: openssl pkcs12 -in {file} -nocerts -out COPY, then ssh-keygen \
             -p -f COPY\n"
        ),
    );
    let file = copy("garbage", b"hello\n");
    refused(
        &program,
        &file,
        2,
        &format!("tpmssh: {file}: it is no private key of OpenSSH\n"),
    );
    let file = copy("long", &vec![b'A'; 16 * 1024 + 1]);
    refused(
        &program,
        &file,
        2,
        &format!("tpmssh: {file}: it is longer than any private key of OpenSSH\n"),
    );
    let file = copy(
        "damaged",
        b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n",
    );
    refused(
        &program,
        &file,
        2,
        &format!("tpmssh: {file}: the private key is cut short\n"),
    );
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    let public = copy("public", &fs::read(format!("{file}.pub")).unwrap());
    refused(
        &program,
        &public,
        2,
        &format!(
            "tpmssh: {public}: it is a public key; the private one is in the file without .pub\n"
        ),
    );
    let file = text(program.home.path().join("missing"));
    let why = format!("tpmssh: cannot read {file}: No such file or directory (os error 2)\n");
    import(&program, &file, &[]).fails(1, &why);
}

/// The command that the hint names makes a key that is imported.
#[test]
fn pem_and_putty_files_are_converted_by_the_command_in_the_hint() {
    let program = Program::with_token();
    let shell = |line: &str| {
        let mut shell = program.home.command("sh");
        Outcome::of(shell.args(["-c", line]).current_dir(program.home.path())).ok()
    };
    let pem = [
        (
            "sec1",
            "openssl ecparam -name prime256v1 -genkey -noout -out sec1",
        ),
        (
            "pkcs8",
            "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384 -out pkcs8",
        ),
        ("pkcs1", "openssl genrsa -traditional -out pkcs1 2048"),
        ("rsa8", "openssl genpkey -algorithm RSA -out rsa8"),
    ];
    for (name, make) in pem {
        shell(&format!("{make} 2>&1 && chmod 600 {name}"));
        let file = text(program.home.path().join(name));
        refused(
            &program,
            &file,
            2,
            &format!(
                "tpmssh: {file}: it has the form of PEM and not that of OpenSSH\n\
                 hint: cp {file} COPY && ssh-keygen -p -f COPY makes it an OpenSSH key\n"
            ),
        );
        shell(&format!(
            "cp {file} COPY && ssh-keygen -q -p -N '' -f COPY && mv COPY {name}.copy"
        ));
        let copy = format!("{file}.copy");
        import(&program, &copy, &["--label", name]).ok();
    }
    // PuTTY's tool is not everywhere: what it writes begins so.
    let file = program.secret("putty", "PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\n");
    refused(
        &program,
        &file,
        2,
        &format!(
            "tpmssh: {file}: it is a private key of PuTTY\n\
             hint: puttygen {file} -O private-openssh-new -o COPY makes it an OpenSSH key\n"
        ),
    );
}

#[test]
fn another_cipher_is_changed_by_the_command_in_the_hint() {
    let program = Program::with_token();
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    let keygen = |args: &[&str]| {
        let mut keygen = program.home.command("ssh-keygen");
        Outcome::of(keygen.args(args)).ok()
    };
    keygen(&[
        "-q",
        "-p",
        "-Z",
        "aes128-cbc",
        "-N",
        PASSPHRASE,
        "-f",
        &file,
    ]);
    refused(
        &program,
        &file,
        2,
        &format!(
            "tpmssh: {file}: it is encrypted with aes128-cbc, which is not known here\n\
             hint: cp {file} COPY && ssh-keygen -p -f COPY encrypts it as usual\n"
        ),
    );
    keygen(&["-q", "-p", "-P", PASSPHRASE, "-N", PASSPHRASE, "-f", &file]);
    let passphrase = program.secret("passphrase", PASSPHRASE);
    import(&program, &file, &["--passphrase-file", &passphrase]).ok();
}

#[test]
fn a_terminal_is_no_file() {
    let program = Program::with_token();
    let session = Session::start(&program, &["import", "-"]);
    let (status, rest) = session.end();
    assert_eq!(status.code(), Some(2));
    assert_eq!(
        rest,
        "tpmssh: standard input: it is a terminal\r\n\
         hint: name the file, or: tpmssh import - < FILE\r\n"
    );
}

/// The two commands of the hint, one after the other, and what is said in between.
#[test]
fn a_pkcs12_file_is_converted_by_the_commands_in_the_hint() {
    let program = Program::with_token();
    let shell = |line: &str| {
        let mut shell = program.home.command("sh");
        Outcome::of(shell.args(["-c", line]).current_dir(program.home.path())).ok()
    };
    shell(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=me \
         -keyout key -out cert 2>&1 && openssl pkcs12 -export -inkey key -in cert \
         -passout pass:secret -name me -out me.p12 && chmod 600 me.p12",
    );
    let file = text(program.home.path().join("me.p12"));
    refused(
        &program,
        &file,
        2,
        &format!(
            "tpmssh: {file}: it is binary, such as PKCS#12, and not a private key of OpenSSH\n\
             hint: if it is PKCS#12: openssl pkcs12 -in {file} -nocerts -out COPY, then ssh-keygen \
             -p -f COPY\n"
        ),
    );
    shell(&format!(
        "umask 077; openssl pkcs12 -in {file} -nocerts -out COPY -passin pass:secret \
         -passout pass:secret"
    ));
    let copy = text(program.home.path().join("COPY"));
    refused(
        &program,
        &copy,
        2,
        &format!(
            "tpmssh: {copy}: it has the form of PEM and not that of OpenSSH\n\
             hint: cp {copy} COPY && ssh-keygen -p -f COPY makes it an OpenSSH key\n"
        ),
    );
    shell("ssh-keygen -q -p -P secret -N '' -f COPY");
    import(&program, &copy, &["--label", "from PKCS#12"]).ok();
}

#[test]
fn files_that_others_can_read_are_refused() {
    let program = Program::with_token();
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    refused(
        &program,
        &file,
        9,
        &format!(
            "tpmssh: {file} can be read by other users\nhint: if it is yours: chmod 600 {file}\n"
        ),
    );
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let pipe = text(program.home.path().join("pipe"));
    let made = Outcome::of(program.home.command("mkfifo").args(["-m", "600", &pipe]));
    made.ok();
    import(&program, &pipe, &[]).fails(
        9,
        &format!(
            "tpmssh: {pipe}: it is no regular file\n\
             hint: give it on standard input: tpmssh import - < {pipe}\n"
        ),
    );
    // A directory cannot be given on standard input, so there is no hint.
    let directory = text(program.home.path().to_path_buf());
    import(&program, &directory, &[]).fails(
        1,
        &format!("tpmssh: cannot read {directory}: is a directory\n"),
    );
    // ssh follows links, and so does this.
    let link = text(program.home.path().join("link"));
    symlink(&file, &link).unwrap();
    import(&program, &link, &[]).ok();
    assert!(Path::new(&file).exists());
}

/// That user may have a copy of the key, or may replace the file.
#[test]
fn a_file_of_another_user_is_refused() {
    let may = std::process::Command::new("unshare")
        .args(["--user", "true"])
        .output();
    if !may.unwrap().status.success() {
        eprintln!("skipped: no user namespaces here; nobody gets one in a chroot");
        return;
    }
    let program = Program::with_token();
    // In a user namespace that maps one user, who is not root there. All other users are unmapped.
    let file = if rustix::process::geteuid().is_root() {
        let file = old_key(&program, "id", ["ecdsa", "256"], "");
        std::os::unix::fs::chown(&file, Some(1), None).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        file
    } else {
        "/etc/passwd".to_owned()
    };
    let mut unshare = program.home.command("unshare");
    unshare.args(["--user", "--map-user=1000", env!("CARGO_BIN_EXE_tpmssh")]);
    Outcome::of(unshare.args(["import", &file])).fails(
        9,
        &format!(
            "tpmssh: {file}: it belongs to another user\n\
             hint: make a copy of your own: install -m 600 {file} COPY\n"
        ),
    );
}
