//! Programs that let a machine into a network: OpenVPN, strongSwan, wpa_supplicant.

use std::net::UdpSocket;

use crate::clients::{KEYS, file, key_url, module_path, ok, openssl, refused, self_signed, write};
use crate::program::{PIN, Program};
use crate::terminal::Session;

use super::{MODULE_NAME, modules_dir, needs, two_certified_keys, with_module_in};

#[test]
fn openvpn_shows_the_certificates() {
    needs("/usr/sbin/openvpn", "openvpn");
    let (program, _) = two_certified_keys();
    let mut openvpn = program.home.command("openvpn");
    let shown = ok(openvpn.args(["--show-pkcs11-ids", &module_path()]));
    for label in KEYS {
        assert!(shown.contains(&format!("CN={label}")), "{shown}");
    }
    assert_eq!(shown.matches("Serialized id:").count(), 2, "{shown}");
}

/// Makes self-signed certificates. The PIN is typed: strongSwan takes it from a terminal.
#[test]
fn the_pki_program_of_strongswan_signs() {
    needs("/usr/bin/pki", "strongswan-pki");
    let plugin = "/usr/lib/ipsec/plugins/libstrongswan-pkcs11.so";
    needs(plugin, "libstrongswan-extra-plugins");
    let program = Program::with_token();
    let home = &program.home;
    // pkcs11 before openssl, which would ask an engine of its own for the key.
    let config = format!(
        "pki {{\nload = pkcs11 random pem x509 pkcs1 pkcs8 pubkey sha1 sha2 openssl\n\
         plugins {{\npkcs11 {{\nmodules {{\ntpmssh {{\npath = {}\nload_certs = no\n\
         }}\n}}\n}}\n}}\n}}\n",
        module_path()
    );
    let config = write(home, "strongswan.conf", config);
    for (kind, id) in KEYS.into_iter().zip(["51", "52"]) {
        let make = ["keygen", "-t", kind, "--label", kind, "--id", id];
        let pin = ["--pin-file", &program.pin];
        program.run(&[&make[..], &pin].concat()).ok();
        let mut pki = home.command("setsid");
        pki.args(["--ctty", "sh", "-c", "exec pki \"$@\" > made.pem", "sh"])
            .args(["--self", "--type", "priv", "--keyid", id])
            .args(["--dn", "CN=self", "--outform", "pem"])
            .env("STRONGSWAN_CONF", &config);
        let mut session = Session::spawn(pki);
        session.expect("Smartcard PIN: ");
        session.type_in(&format!("{PIN}\n"));
        let (status, shown) = session.end();
        assert!(status.success(), "{kind}: {shown}");
        let made = file(home, "made.pem");
        let verify = ["verify", "-check_ss_sig", "-CAfile", &made, &made];
        assert!(openssl(home, &verify).contains("OK"), "{kind}");
    }
}

/// EAP-TLS, as at a port of a switch or in a wireless network. wpa_supplicant itself needs such a port;
/// eapol_test is its code without one, and hostapd the RADIUS server.
#[test]
fn wpa_supplicant_proves_the_certificate_to_a_network() {
    /// Starts hostapd and eapol_test. A client that has printed the text `$3` is ended, because it would
    /// try again for ever.
    /// Both logs are emptied before: a program does that only once it runs, and until then the last one's
    /// text would be found.
    const INSIDE: &str = r#"
        : > hostapd.log; : > "$2"
        stdbuf -oL hostapd hostapd.conf > hostapd.log 2>&1 & server=$!
        trap 'kill $server; wait $server' EXIT
        for try in $(seq 1200); do
            if grep -q AP-ENABLED hostapd.log; then break; fi
            if [ $try = 1200 ] || ! kill -0 $server; then cat hostapd.log; exit 3; fi
            sleep 0.05
        done
        stdbuf -oL eapol_test -c "$0" -a 127.0.0.1 -p "$1" -s secret -t 60 > "$2" 2>&1 & client=$!
        while kill -0 $client 2>/dev/null; do
            if grep -q "$3" "$2"; then kill $client; break; fi
            sleep 0.05
        done
        wait $client; code=$?
        cat "$2"
        exit $code
    "#;
    needs("/usr/bin/eapol_test", "eapoltest");
    needs("/usr/sbin/hostapd", "hostapd");
    let (program, certified) = two_certified_keys();
    let home = &program.home;
    let dir = modules_dir();
    let [server, server_key] = self_signed(home, "radius", "/CN=radius");
    write(home, "users", "* TLS\n");
    write(home, "clients", "127.0.0.1 secret\n");
    for (label, keys) in &certified {
        // hostapd needs a port number. This one is free now; that another program takes it first is unlikely.
        let port = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let config = format!(
            "driver=none\ninterface=none\neap_server=1\neap_user_file=users\nca_cert={}\n\
             server_cert={server}\nprivate_key={server_key}\nradius_server_clients=clients\n\
             radius_server_auth_port={port}\n",
            keys.authority
        );
        write(home, "hostapd.conf", config);
        let network = |pin: &str| {
            format!(
                "pkcs11_engine_path={dir}/../engines-3/pkcs11.so\npkcs11_module_path={dir}/{MODULE_NAME}\n\
                 network={{\nkey_mgmt=WPA-EAP\neap=TLS\nidentity=\"{label}\"\nca_cert=\"{server}\"\n\
                 client_cert=\"{}\"\nengine=1\nengine_id=\"pkcs11\"\nkey_id=\"{}\"\npin=\"{pin}\"\n}}\n",
                keys.certificate,
                key_url(label, "private"),
            )
        };
        let wpa = |pin: &str| {
            let config = write(home, "wpa.conf", network(pin));
            let mut sh = with_module_in(home, &dir, "sh");
            sh.args(["-c", INSIDE, &config, &port.to_string(), "wpa.log"]);
            sh.arg("PIN incorrect");
            sh
        };
        let printed = ok(&mut wpa(PIN));
        assert!(printed.contains("\nSUCCESS\n"), "{printed}");
        let printed = refused(&mut wpa("incorrect horse"));
        assert!(printed.contains("PIN incorrect"), "{printed}");
    }
}
